"""Connections that are read in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

T = TypeVar("T")

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
    from airflow.sdk import Connection as AirflowConnection
    from airflow.sdk.execution_time import task_runner

    # Before Airflow 3.3.2, the asynchronous question masks secrets by a synchronous one, which is refused
    # (DeadlockImminentError) while another question is open.
    if not hasattr(AirflowConnection, "aextra_dejson"):
        return await _in_turn(lambda: BaseHook.get_connection(conn_id))
    try:
        return await BaseHook.aget_connection(conn_id)
    except AirflowNotFoundException:
        comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
        if comms is None or hasattr(comms, "asend"):
            raise
        return await _in_turn(lambda: BaseHook.get_connection(conn_id))


async def async_extra(connection: Connection) -> dict[str, Any]:
    """Return the extra of a connection, whose secrets Airflow then masks, without blocking the event loop."""
    if hasattr(connection, "aextra_dejson"):
        extra: dict[str, Any] = await connection.aextra_dejson()
        return extra
    return await _in_turn(lambda: dict(connection.extra_dejson))


async def _in_turn(ask: Callable[[], T]) -> T:
    def locked() -> T:
        with _LOCK:
            return ask()

    return await asyncio.to_thread(locked)
