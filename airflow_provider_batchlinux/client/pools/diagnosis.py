"""What broken nodes can still tell about the cause, as far as they answer in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import start_task_output
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import indented

__all__ = ["start_task_outputs"]

_NODES_SHOWN = 3
_PATIENCE = 30.0
"""Seconds. A node that is going away may not answer at all, and its cause is worth no longer wait."""


async def start_task_outputs(
    client: BatchLinuxClient, pool_id: str, nodes: Sequence[NodeSnapshot]
) -> list[str]:
    """
    Read the end of the start task's output on the first few nodes where it failed; never fails itself.

    :param nodes: the nodes; those whose start task did not fail are left out.
    """
    failed = [node.node_id for node in nodes if node.state == "starttaskfailed"]

    async def told(node_id: str) -> str:
        try:
            output = await asyncio.wait_for(start_task_output(client, pool_id, node_id), _PATIENCE)
        except asyncio.TimeoutError:
            output = f"not available (no answer in {_PATIENCE:g} s)"
        return f"Output of the start task on node {node_id!r}:\n{indented(output)}"

    return await fan_out(failed[:_NODES_SHOWN], told, max_concurrency=_NODES_SHOWN)
