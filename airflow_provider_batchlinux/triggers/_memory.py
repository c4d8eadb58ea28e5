"""What a trigger remembers over a restart of the triggerer: an XCom of its task instance."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

WAIT_KEY = "batch_linux_wait"
"""The XCom with the trigger of a deferral: if the trigger is lost, its task must end what it began."""


@dataclass
class TriggerMemory:
    """
    A value in an XCom of the task instance that a trigger waits for.

    Airflow does not document that a trigger may write XComs; its triggerer answers the request (3.1 and
    later). If that fails, a warning is logged once, and the wait goes on.

    :param task_instance: the one that Airflow gave to the trigger; ``None`` remembers nothing.
    :param key: the key of the XCom.
    :param loss: what may happen without it, for the warning.
    """

    task_instance: Any
    key: str
    loss: str = "After a restart of the triggerer, output may be shown again"
    is_broken: bool = False

    async def load(self) -> object:
        """Return the stored value; ``None`` if there is none."""
        return await self._ask("get_one")

    async def save(self, value: object) -> None:
        """Store a value."""
        await self._ask("set", value=value)

    async def _ask(self, verb: str, **more: object) -> object:
        if self.task_instance is None or self.is_broken:
            return None
        from asgiref.sync import sync_to_async

        names = ("dag_id", "task_id", "run_id", "map_index")
        whose = {name: getattr(self.task_instance, name) for name in names}

        def ask() -> object:
            # Imported in the thread: it is slow, and would hold up all other triggers.
            from airflow.sdk.execution_time.xcom import XCom

            return getattr(XCom, verb)(key=self.key, **whose, **more)

        try:
            return await sync_to_async(ask)()
        except Exception as error:  # what is waited for is worth more than what is remembered of it
            self.is_broken = True
            log.warning("%s: %s", self.loss, error)
            return None
