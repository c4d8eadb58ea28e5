"""Says which extra is missing where a library of the emulator is not installed; imports none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = frozenset({"aiohttp", "asyncssh", "cryptography", "jwt", "trustme"})


@contextmanager
def needs_extra() -> Iterator[None]:
    """
    Let imports in the block fail with the remedy.

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
