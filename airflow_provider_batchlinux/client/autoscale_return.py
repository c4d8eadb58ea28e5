"""Giving a pool back the formula that a repair had switched off, when nobody goes on with the repair."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pool_metadata import change_metadata
from airflow_provider_batchlinux.core.pool_marks import metadata_of
from airflow_provider_batchlinux.core.repair_marks import history_in, with_history
from airflow_provider_batchlinux.exceptions import BatchLinuxError

__all__ = ["return_autoscale"]

log = logging.getLogger(__name__)


async def return_autoscale(client: BatchLinuxClient, pool_id: str) -> bool:
    """
    Switch a pool's formula on again where a repair has left it off; never fails.

    The formula then decides the size, so what was to grow back is forgotten. When the service refuses, the
    marks stay, and the next wait with ``repair``, the next create that takes the pool, or the sweeper
    finishes it.

    :return: whether a formula was switched on.
    """
    try:
        body = await client.find_pool_body(pool_id, ["id", "enableAutoScale", "metadata"])
        formula = history_in(metadata_of(body)).autoscale if body is not None else None
        if body is None or formula is None:
            return False
        if not body.get("enableAutoScale"):
            await client.enable_autoscale(pool_id, dict(formula))
        await change_metadata(client, pool_id, _forgotten)
    except BatchLinuxError as error:
        log.warning("Pool %r: its autoscale formula may still be off after a repair: %s", pool_id, error)
        return False
    log.info("Pool %r: the autoscale formula that the repair had switched off is on again.", pool_id)
    return True


def _forgotten(metadata: Mapping[str, str]) -> dict[str, str]:
    return with_history(metadata, history_in(metadata).settled())
