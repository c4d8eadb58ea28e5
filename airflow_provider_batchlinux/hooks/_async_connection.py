"""Connections that are read in an event loop."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

__all__ = ["async_connection"]

_LOCK = Lock()
"""Held by the one who asks Airflow synchronously: two at once may get each other's answers."""


async def async_connection(conn_id: str) -> Connection:
    """
    Read a connection without blocking the event loop.

    ``dag.test()`` and ``airflow dags test`` run triggers in their own process, which can ask Airflow only
    synchronously: there, an asynchronous question finds no connection of the database (3.3.2).

    :raises AirflowNotFoundException: it is not defined.
    """
    # Not imported with a Dag file, which never needs it.
    from airflow.providers.common.compat.connection import get_async_connection

    try:
        return await get_async_connection(conn_id)
    except AirflowNotFoundException:
        from airflow.sdk.execution_time import task_runner

        comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
        if comms is None or hasattr(comms, "asend"):
            raise
        return await asyncio.to_thread(_get_connection, conn_id)


def _get_connection(conn_id: str) -> Connection:
    with _LOCK:
        return BaseHook.get_connection(conn_id)
