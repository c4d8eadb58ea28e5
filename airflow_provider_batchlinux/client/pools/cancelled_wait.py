"""What becomes of a pool whose wait is killed, in the little time there is."""

from __future__ import annotations

import logging

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.delete_own_pool import delete_unwanted_pool
from airflow_provider_batchlinux.client.pools.restore_autoscale import restore_autoscale
from airflow_provider_batchlinux.exceptions import BatchLinuxError

__all__ = ["end_killed_wait"]

log = logging.getLogger(__name__)

_PATIENCE = 2.0
"""Seconds to wait for a pool that resizes; Airflow ends a worker five seconds after it asked it to."""


async def end_killed_wait(
    client: BatchLinuxClient, pool_id: str, run: tuple[str, str] | None, instance: str, *, repairs: bool
) -> None:
    """
    Delete the pool where that is asked, or give it back what a repair had switched off; never fails.

    :param run: the Dag run whose pool is to go with the wait; ``None`` keeps it.
    :param instance: the connection's prefix of ids.
    :param repairs: the wait has repaired it.
    """
    try:
        if run is not None:
            why = "its wait was killed"
            told = await delete_unwanted_pool(client, pool_id, why, run=run, instance=instance)
            log.warning("%s", told)
            if "is kept" not in told:
                return
    except BatchLinuxError as error:
        log.warning("Pool %r could not be deleted: %s", pool_id, error)
    if repairs:
        await restore_autoscale(client, pool_id, patience=_PATIENCE)
