"""
One Batch account while it is served, and how it is restored from a state file.

To the nodes a restart is as if their computers had been switched off and on: their programs are gone, their
files and users are not. Nodes that were up boot again, so their start tasks run again. Tasks that ran are
requeued. A stage that had begun, such as a resize, begins again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.programs import ProgramStarter
from airflow_provider_batchlinux.emulator.protocol.azure_ids import AccountPlace
from airflow_provider_batchlinux.emulator.protocol.local_files import remove_tree
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.simulation.faults import Faults, RequestRecord
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.state.persisted_settings import (
    load_limits,
    save_limits,
    subscription_id,
)
from airflow_provider_batchlinux.emulator.state.records import Node
from airflow_provider_batchlinux.emulator.state.state_file import StateFile, StateFileError
from airflow_provider_batchlinux.emulator.state.workdir import Workdir

# A soak runs for days; a test looks at the last requests only.
_MOST_RECORDED = 100_000


class EmulatedAccount:
    """
    The account that the HTTP server, the control plane and the management plane share.

    ``service`` is the Batch service itself. A reset replaces it; everything else here stays the same object.

    :param workdir: where the account keeps its files; an account that it already holds is restored.
    :param endpoint: URL at which clients reach the account.
    :param storage: the blob store that is the auto-storage account.
    """

    def __init__(
        self,
        options: EmulatorOptions,
        clock: Clock,
        workdir: Workdir,
        endpoint: str,
        storage: BlobStorage,
    ) -> None:
        self.options = options
        self.clock = clock
        self.endpoint = endpoint
        self.storage = storage
        self.place = AccountPlace(options.account, subscription_id(workdir.state))
        self.requests: deque[RequestRecord] = deque(maxlen=_MOST_RECORDED)
        self._workdir = workdir
        self._starter = ProgramStarter(workdir.reaper)
        self.service = self._new_service()
        if workdir.state is not None:
            restore(self.service, workdir.state, workdir.nodes)
        self.faults = Faults(self.service.faults.take)

    async def reset(self) -> None:
        """Empty the account, and forget injected faults and recorded requests."""
        await self.service.close()
        await asyncio.to_thread(remove_tree, self._workdir.nodes)
        if self._workdir.state is not None:
            self._workdir.state.erase()
        self.storage.files.clear()
        self.requests.clear()
        self.service = self._new_service()
        self.save_limits()
        self.faults = Faults(self.service.faults.take)

    async def close(self) -> None:
        """End everything that runs on the nodes."""
        await self.service.close()
        self._starter.close()

    def save_limits(self) -> None:
        """Write quotas and capacity to the state file, if there is one."""
        if self._workdir.state is not None:
            save_limits(self._workdir.state, "quotas", self.service.quotas)
            save_limits(self._workdir.state, "capacity", self.service.capacity)

    def commit(self) -> None:
        """Write all changes to the state file, if there is one, before an answer reports them."""
        if self._workdir.state is not None:
            self._workdir.state.commit()

    def _new_service(self) -> BatchService:
        return BatchService(
            self.options,
            self.clock,
            self._workdir,
            self.endpoint,
            self.storage,
            self.place,
            self._starter,
        )


def last_change(state: StateFile) -> datetime | None:
    """Return the time of the last change in a state file; ``None`` if it is empty."""
    changes = (stored.record for stored in state.records() if isinstance(stored.record, Version))
    return max((change.modified for change in changes), default=None)


def restore(service: BatchService, state: StateFile, directories: Path) -> None:
    """
    Load a state file into an empty service, and resume all activities.

    :param directories: parent of the nodes' directories. Directories of deleted nodes are removed.
    :raises StateFileError: a record cannot be read.
    """
    _load(service, state)
    _remove_stray_directories(directories, {node.id for node in _nodes(service)})
    for node in _nodes(service):
        _rebuild(service, node)
    for pool in service.store.pools:
        service.allocation.resume(pool)
        service.scaler.resume(pool)
    for node in _nodes(service):
        service.node_actions.resume(node)
    service.spot.restore_preempted()
    for job in service.store.jobs:
        service.jobs.resume(job)
    for job in service.store.jobs:
        for task in service.store.tasks(job.id):
            service.retention.watch(task)
    for schedule in service.store.schedules:
        service.schedules.resume(schedule)


def _load(service: BatchService, state: StateFile) -> None:
    for kind, parent, key, record in state.records():
        try:
            service.store.restore(kind, parent, key, record)
        except KeyError as error:
            msg = f"The state file contains a record of the unknown kind {kind!r}."
            raise StateFileError(msg) from error
    load_limits(state, "quotas", service.quotas)
    load_limits(state, "capacity", service.capacity)


def _nodes(service: BatchService) -> list[Node]:
    """Return the current records of all nodes."""
    return [node for pool in service.store.pools for node in service.store.nodes(pool.id)]


def _rebuild(service: BatchService, node: Node) -> None:
    service.lifecycle.rebuild(node)
    for user in service.store.users(node):
        service.ssh_servers.add_login(node, user)


def _remove_stray_directories(directories: Path, node_ids: Collection[str]) -> None:
    """Remove the directories of nodes that no longer exist."""
    for directory in directories.glob("*/*"):
        if directory.name not in node_ids:
            remove_tree(directory)
    for pool in directories.glob("*"):
        with suppress(OSError):
            pool.rmdir()
