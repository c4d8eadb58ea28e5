"""
Tell OpenLineage what commands read from storage and write to it.

Airflow's provider for OpenLineage, if it is installed, calls the methods of :class:`LineageMixin`; without
it, nothing calls them, and nothing of it is imported.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.storage.datasets import DatasetName
    from airflow_provider_batchlinux.core.storage.grants import Grant
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

log = logging.getLogger(__name__)

_PROVIDER = "airflow.providers.openlineage"
_MOST = 1_000
"""Inputs, and outputs, in one event: OpenLineage stores each with each event."""


class LineageMixin:
    """
    Report the inputs and outputs of commands as datasets, in the names that OpenLineage has for them.

    OpenLineage calls it in a fork of the process of the task, which it may end at any moment: no request is
    made there. What it needs of connections was read when the task ran, and is no secret.
    """

    _accounts: Mapping[str, str] | None = None
    """The URLs of storage accounts by the connections that lead to them."""

    _exit_codes: Mapping[str, int | None] | None = None
    """With what the commands have ended, by the ids of their tasks; ``None`` before that is known."""

    @abstractmethod
    def lineage_tasks(self) -> Mapping[str, TaskSpec]:
        """Return the commands with their data, by their tasks. Nothing is to be remembered of the call."""

    def prepare(self) -> None:
        """Read which storage accounts the connections lead to, if OpenLineage is going to ask for them."""
        if _PROVIDER not in sys.modules:
            return
        try:
            grants = (grant for task in self.lineage_tasks().values() for grant in task.grants())
            conn_ids = {grant.conn_id for grant in grants if _needs_account(grant)}
            self._accounts = asyncio.run(_accounts_of(conn_ids))
        except Exception as error:  # the task itself says what is wrong with its parameters
            log.warning("OpenLineage does not get all data: %s", error)

    def remember_ends(self, exit_codes: Mapping[str, int | None]) -> None:
        """
        Remember which outputs were written.

        :param exit_codes: those of the commands themselves, by the ids of their tasks; ``None`` for one that
            was ended, never ran, or whose outputs could not be uploaded.
        """
        self._exit_codes = exit_codes

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what the commands are to read and write."""
        return self._lineage(success=True)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Return what the commands have read and written."""
        return self._lineage(success=True)

    def get_openlineage_facets_on_failure(self, _task_instance: Any) -> Any:
        """Return what the commands may have read, and what is written after a failure."""
        return self._lineage(success=False)

    def _lineage(self, *, success: bool) -> Any:
        tasks = self.lineage_tasks()
        ends = dict.fromkeys(tasks, success)
        if self._exit_codes is not None:
            codes = {task_id: code for task_id, code in self._exit_codes.items() if task_id in tasks}
            ends = {task_id: code == 0 for task_id, code in codes.items() if code is not None}
        inputs = [grant for task in tasks.values() for grant in task.input_grants()]
        outputs = [
            grant for task_id, well in ends.items() for grant in tasks[task_id].outputs_after(success=well)
        ]
        dataset = import_module("airflow.providers.common.compat.openlineage.facet").Dataset
        found = [
            [dataset(namespace=one.namespace, name=one.name) for one in sorted(names)[:_MOST]]
            for names in (self._names_of(inputs), self._names_of(outputs))
        ]
        lineage = import_module(f"{_PROVIDER}.extractors").OperatorLineage
        return lineage(inputs=found[0], outputs=found[1])

    def _names_of(self, grants: Iterable[Grant]) -> set[DatasetName]:
        """Return the names of places; those whose connection does not say its account are left out."""
        from airflow_provider_batchlinux.core.storage.datasets import dataset_name

        accounts = self._accounts or {}
        return {
            dataset_name(grant.location, accounts.get(grant.conn_id, ""))
            for grant in grants
            if grant.conn_id in accounts or not _needs_account(grant)
        }


def _needs_account(grant: Grant) -> bool:
    return grant.location.web_url is None and grant.location.account_url is None


async def _accounts_of(conn_ids: Iterable[str]) -> dict[str, str]:
    from airflow_provider_batchlinux.hooks._storage_connection import storage_settings

    accounts = {}
    for conn_id in conn_ids:
        try:
            accounts[conn_id] = (await storage_settings(conn_id)).account.endpoint
        except ValueError as error:
            log.warning("OpenLineage does not get all data: %s", error)
    return accounts
