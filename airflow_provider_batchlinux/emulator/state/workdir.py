"""The files of a running service: in a temporary directory, or in a state file and a directory next to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_batchlinux.emulator.protocol.local_files import remove_tree
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.state.reaper import Reaper, kill_orphans, locked, reaping
from airflow_provider_batchlinux.emulator.state.state_file import StateFile


@dataclass(frozen=True)
class Workdir:
    """
    The files of one running service.

    :param root: directory for everything but records.
    :param reaper: starts programs.
    :param state: file with its records; ``None`` if they are lost when it ends.
    """

    root: Path
    reaper: Reaper
    state: StateFile | None = None

    @property
    def nodes(self) -> Path:
        """The directory of the nodes."""
        return self.root / "nodes"

    @property
    def blobs(self) -> Path:
        """The directory of the blob store."""
        return self.root / "blobs"


def workdir(options: EmulatorOptions) -> AbstractContextManager[Workdir]:
    """
    Hold the workdir of a service. No program of its nodes outlives it, even if it is killed.

    :raises StateFileError: the state file is not one, has a newer format, or is in use.
    """
    return _temporary(options.root) if options.state is None else _persistent(options.state)


@contextmanager
def _temporary(parent: Path | None) -> Iterator[Workdir]:
    root = Path(tempfile.mkdtemp(prefix="batchlinux-", dir=parent)).resolve()
    with reaping(root, keep_root=False) as reaper:
        try:
            yield Workdir(root, reaper)
        finally:
            remove_tree(root)


@contextmanager
def _persistent(path: Path) -> Iterator[Workdir]:
    with closing(StateFile(path)) as state:
        root = state.directory
        root.mkdir(mode=0o700, exist_ok=True)
        # The reaper of a service that was killed just now may still be running here.
        with locked(root / ".lock") as lock, reaping(root, keep_root=True, lock=lock) as reaper:
            kill_orphans(root)
            yield Workdir(root, reaper, state)
