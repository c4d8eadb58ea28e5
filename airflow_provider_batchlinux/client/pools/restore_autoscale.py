"""Giving a pool back the formula that a repair had switched off, when nobody goes on with the repair."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.steady import PoolSteadyWait
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.pools.repair.history import history_in, with_history
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchRequestError

__all__ = ["restore_autoscale"]

log = logging.getLogger(__name__)

_PATIENCE = 120.0
_LOOK = 0.5
"""Seconds."""

_CONFLICT = 409
_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")


async def restore_autoscale(client: BatchLinuxClient, pool_id: str, *, patience: float = _PATIENCE) -> bool:
    """
    Switch a pool's formula on again where a repair has left it off; never fails.

    The formula then decides the size, so what was to grow back is forgotten. When the service refuses, the
    marks stay, and the next wait with ``repair``, the next create that takes the pool, or the sweeper
    finishes it.

    The service takes no formula while the pool resizes, as it does after a removal: that is stopped then.

    :param patience: seconds to wait for a pool that resizes.
    :return: whether a formula was switched on.
    """
    try:
        body = await client.find_pool_body(pool_id, ["id", "enableAutoScale", *_TARGETS, "metadata"])
        history = history_in(metadata_of(body)) if body is not None else None
        if body is None or history is None or history.autoscale is None:
            return False
        formula, targets = history.autoscale, tuple(int(body.get(name) or 0) for name in _TARGETS)
        if not history.is_left_by_repair((targets[0], targets[1])):
            await change_metadata(client, pool_id, _forgotten)
            log.info("Pool %r was resized since a repair, so its formula stays off.", pool_id)
            return False
        if not body.get("enableAutoScale"):
            await _switch_on(client, pool_id, formula, patience)
        await change_metadata(client, pool_id, _forgotten)
    except BatchLinuxError as error:
        log.warning("Pool %r: its autoscale formula may still be off after a repair: %s", pool_id, error)
        return False
    log.info("Pool %r: the autoscale formula that the repair had switched off is on again.", pool_id)
    return True


async def _switch_on(
    client: BatchLinuxClient, pool_id: str, formula: Mapping[str, Any], patience: float
) -> None:
    try:
        await client.enable_autoscale(pool_id, dict(formula))
    except BatchRequestError as error:
        if error.status != _CONFLICT:
            raise
        with suppress(BatchRequestError):  # it may just have ended
            await client.stop_resize(pool_id)
        await wait_for(PoolSteadyWait(client, pool_id), WaitSchedule(_LOOK, time.time() + patience))
        await client.enable_autoscale(pool_id, dict(formula))


def _forgotten(metadata: Mapping[str, str]) -> dict[str, str]:
    return with_history(metadata, history_in(metadata).settled())
