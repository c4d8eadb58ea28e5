"""
Takes up a service's account where it was when the service before it ended.

To the nodes this is as if their computers had been switched off and on: what ran there is gone, their files
and users are not. Nodes that were up boot anew, so their start tasks run again; tasks that ran wait for a
node again, and that counts as a requeue. What was on its way, such as a resize, begins its stage anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from airflow_provider_batchlinux.emulator.service import BatchService
from airflow_provider_batchlinux.emulator.state.persisted_settings import recall_limits
from airflow_provider_batchlinux.emulator.state.records import Node, Version
from airflow_provider_batchlinux.emulator.state.state_file import StateFile, StateFileError

__all__ = ["last_change", "restore"]


def last_change(state: StateFile) -> datetime | None:
    """Return when something was last changed in what a state file keeps; ``None`` if it keeps nothing."""
    changes = (kept.record for kept in state.records() if isinstance(kept.record, Version))
    return max((change.modified for change in changes), default=None)


def restore(service: BatchService, state: StateFile, directories: Path) -> None:
    """
    Bring an empty service to what a state file keeps, and let everything go on.

    :param directories: where the nodes have theirs; those of nodes that are gone are removed.
    :raises StateFileError: something of it cannot be read.
    """
    _load(service, state)
    _sweep(directories, {node.id for node in _nodes(service)})
    for node in _nodes(service):
        _rebuild(service, node)
    for pool in service.store.pools:
        service.allocation.resume(pool)
        service.scaler.resume(pool)
    for node in _nodes(service):
        service.node_actions.resume(node)
    service.spot.bring_back()
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
            msg = f"The state file has a {kind!r}, which this version does not know."
            raise StateFileError(msg) from error
    recall_limits(state, "quotas", service.quotas)
    recall_limits(state, "capacity", service.capacity)


def _nodes(service: BatchService) -> list[Node]:
    """Return all nodes as they are now."""
    return [node for pool in service.store.pools for node in service.store.nodes(pool.id)]


def _rebuild(service: BatchService, node: Node) -> None:
    service.lifecycle.rebuild(node)
    for user in service.store.users(node):
        service.ssh_servers.admit(node, user)


def _sweep(directories: Path, node_ids: Collection[str]) -> None:
    """Remove what was taken off nodes but not removed any more."""
    for directory in directories.glob("*/*"):
        if directory.name not in node_ids:
            shutil.rmtree(directory, ignore_errors=True)
    for pool in directories.glob("*"):
        with suppress(OSError):
            pool.rmdir()
