"""Watches over a service from outside, and clears up behind it if it is killed; knows no records."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from airflow_provider_batchlinux.emulator.state import orphans as leftovers

__all__ = ["guarded", "locked"]


@contextmanager
def guarded(root: Path, *, is_kept: bool, lock: int | None = None) -> Iterator[None]:
    """
    Let nothing that runs on the nodes below a directory outlive this process, even if it is killed.

    A process of its own waits for the end of this one. After an orderly end it has nothing to do.

    :param is_kept: whether the directory stays when this process is killed.
    :param lock: descriptor of a lock that is held until all is cleared up; ``None`` for none.
    """
    fate = leftovers.KEEP if is_kept else leftovers.REMOVE
    with Popen(
        [sys.executable, "-I", "-S", str(leftovers.__file__), str(root), fate],
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        cwd="/",
        pass_fds=() if lock is None else (lock,),
        start_new_session=True,
    ) as guardian:
        try:
            yield
        finally:
            guardian.kill()


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock on a file, which is made if it is not there; wait for it if need be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
