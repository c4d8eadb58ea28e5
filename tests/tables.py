"""A table of cases as one test, where each case takes less time than a test of its own costs in pytest."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def each_of(rows: Mapping[str, tuple[Any, ...]] | Iterable[str]) -> Callable[[Callable[..., None]], Any]:
    """
    Run a test for each row of a table, all of them, and fail with every row that fails, by its name.

    For pure tests of hundreds of rows: pytest takes some milliseconds for each of its tests.

    :param rows: the arguments of the test by the name of the row.
    """
    table = rows if isinstance(rows, Mapping) else {name: (name,) for name in rows}

    def decorated(test: Callable[..., None]) -> Callable[[], None]:
        def whole() -> None:
            assert table
            failures = {name: error for name, row in table.items() if (error := _error_of(test, row))}
            if failures:
                first = next(iter(failures.values()))
                said = [f"{name}: {_last_line(error)}" for name, error in failures.items()]
                msg = (
                    f"{len(failures)} of {len(table)} rows fail; the first has the traceback.\n"
                    + "\n".join(said)
                )
                raise AssertionError(msg) from first

        # Not by functools.wraps, from which pytest takes the arguments as the names of fixtures.
        whole.__name__, whole.__doc__, whole.__module__ = test.__name__, test.__doc__, test.__module__
        return whole

    return decorated


def _error_of(test: Callable[..., None], row: tuple[Any, ...]) -> Exception | None:
    try:
        test(*row)
    except Exception as error:
        return error
    return None


def _last_line(error: Exception) -> str:
    return " ".join("".join(traceback.format_exception_only(error)).split())[:300]
