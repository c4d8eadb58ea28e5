"""A helpful error if the extra ``emulator`` is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = frozenset({"aiohttp", "asyncssh", "cryptography", "jwt", "trustme"})


@contextmanager
def needs_extra() -> Iterator[None]:
    """
    Add the command that installs the extra to import errors in the block.

    :raises ImportError: a library of the extra ``emulator`` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _LIBRARIES:
            raise
        msg = (
            f"The embedded Batch service needs {library!r}, which is not installed: "
            "pip install airflow-provider-batchlinux[emulator]"
        )
        raise ImportError(msg, name=library) from error
