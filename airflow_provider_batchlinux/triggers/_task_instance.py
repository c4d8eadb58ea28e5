"""Asking Airflow, from a trigger, whether task instances are over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["are_over", "final_state"]

_OVER = frozenset({"failed", "removed", "skipped", "success", "upstream_failed", "gone"})
"""Any other state counts as alive, also one that a later Airflow adds: what was ended does not come back."""


async def final_state(task_instance: Any) -> str | None:
    """
    Tell how a task instance has ended for good, or that it is ``gone``; ``None`` while it is alive.

    :param task_instance: the one that Airflow gave to the trigger.
    """
    from asgiref.sync import sync_to_async

    state: str = await sync_to_async(_state)(task_instance)
    return state if state in _OVER else None


async def are_over(dag_id: str, run_id: str, task_ids: Sequence[str]) -> bool:
    """
    Tell whether all instances of some tasks of a Dag run have ended for good, or are not there any more.

    :param task_ids: the tasks; of a mapped one, all its instances count.
    """
    from asgiref.sync import sync_to_async

    states = await sync_to_async(_states)(dag_id, run_id, task_ids)
    return all(str(getattr(state, "value", state)) in _OVER for state in states.values())


def _states(dag_id: str, run_id: str, task_ids: Sequence[str]) -> dict[str, Any]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states: dict[str, dict[str, Any]] = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=list(task_ids), run_ids=[run_id]
    )
    return states.get(run_id, {})


def _state(task_instance: Any) -> str:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    state = _of_task(states.get(task_instance.run_id, {}), task_instance)
    return str(getattr(state, "value", state))


def _of_task(states: dict[str, Any], task_instance: Any) -> Any:
    # A mapped task instance is listed as "<task id>_<map index>". One that was cleared is listed without a
    # state: its next try comes, and takes up the command or ends it.
    mapped = f"{task_instance.task_id}_{task_instance.map_index}"
    return states.get(mapped, states.get(task_instance.task_id, "gone"))
