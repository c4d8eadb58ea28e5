"""
Tell OpenLineage what commands read from storage and write to it.

Airflow's provider for OpenLineage, if it is installed, calls the methods of :class:`LineageMixin`; without
it, nothing calls them, and nothing of it is imported.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.storage.datasets import DatasetName
    from airflow_provider_batchlinux.core.storage.grants import Grant
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

__all__ = ["LineageMixin"]

log = logging.getLogger(__name__)

_MOST = 1_000
"""Inputs, and outputs, in one event: OpenLineage stores each with each event."""


class LineageMixin:
    """Report the inputs and outputs of commands as datasets, in the names that OpenLineage has for them."""

    @abstractmethod
    def lineage_tasks(self) -> Iterable[TaskSpec]:
        """Return the commands with their data. Nothing is to be remembered of the call."""

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
        tasks = list(self.lineage_tasks())
        inputs = [grant for task in tasks for grant in task.input_grants()]
        outputs = [grant for task in tasks for grant in task.outputs_after(success=success)]
        named = asyncio.run(_names_of(dict.fromkeys([*inputs, *outputs])))
        dataset = import_module("airflow.providers.common.compat.openlineage.facet").Dataset
        found = [
            [
                dataset(namespace=one.namespace, name=one.name)
                for one in sorted({named[grant] for grant in grants if grant in named})[:_MOST]
            ]
            for grants in (inputs, outputs)
        ]
        lineage = import_module("airflow.providers.openlineage.extractors").OperatorLineage
        return lineage(inputs=found[0], outputs=found[1])


async def _names_of(grants: Iterable[Grant]) -> dict[Grant, DatasetName]:
    """Return the names of places; those whose connection does not say its account are left out."""
    from airflow_provider_batchlinux.core.storage.datasets import dataset_name
    from airflow_provider_batchlinux.hooks._storage_connection import storage_settings

    accounts: dict[str, str | None] = {}
    named: dict[Grant, DatasetName] = {}
    for grant in grants:
        account: str | None = ""
        if grant.location.web_url is None and grant.location.account_url is None:
            if grant.conn_id not in accounts:
                try:
                    accounts[grant.conn_id] = (await storage_settings(grant.conn_id)).account.endpoint
                except ValueError as error:
                    log.warning("OpenLineage is not told all data: %s", error)
                    accounts[grant.conn_id] = None
            account = accounts[grant.conn_id]
        if account is not None:
            named[grant] = dataset_name(grant.location, account)
    return named
