"""A task group that creates a pool, waits for its nodes, and deletes the pool at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup

from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.task_groups._parameters import (
    NAMES_OF_DELETE,
    CreateParameters,
    DeleteParameters,
    PoolParameters,
    WaitParameters,
)

if TYPE_CHECKING:
    from airflow.sdk.types import Operator
    from typing_extensions import Unpack

__all__ = ["BatchLinuxPool"]


class BatchLinuxPool(TaskGroup):
    """
    Create a pool, wait for its nodes, and delete it when the tasks that use it have ended.

    .. code-block:: python

        with BatchLinuxPool(
            "nodes", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=2
        ) as pool:
            BatchLinuxTaskOperator(task_id="transform", pool_id=pool.pool_id, command="./transform.sh")

    It is a task group with the tasks ``create``, ``wait``, ``delete`` and an empty task ``end``:
    :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxCreatePoolOperator`,
    :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor` and
    :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxDeletePoolOperator`.

    - Tasks that use ``pool_id``, and what is downstream of them, wait for the nodes. Other tasks in the block
      do not.
    - The pool is deleted after all of them, whether they succeed or fail. ``create`` and ``wait`` are setups
      of this teardown, so clearing a task that uses the pool also runs them again.
    - If a task that uses the pool fails, the Dag run fails, unless a later task in the block succeeds by a
      trigger rule such as ``all_done``. If the deletion fails, the Dag run fails as well. Tasks after the
      group follow ``end``, which does not wait for the deletion.

    It takes the parameters of the three operators:

    - ``deferrable`` and ``batch_linux_conn_id`` apply to all three;
    - ``poll_interval`` applies to ``create`` and ``delete``, ``poke_interval`` and ``timeout`` to ``wait``;
    - the ``timeout``, ``wait`` and ``force`` of the deletion are ``delete_timeout``, ``wait_for_deletion``
      and ``force_delete``.

    .. seealso::
        ``docs/howto/create-a-pool.md``,
        and ``example_dags/example_etl.py``.

    :param group_id: the id of the group.
    :param default_args: Airflow's default arguments of all tasks in the group, such as ``retries``; ``None``
        for none.
    :param tooltip: the text that Airflow shows for the group.

    :raises TypeError: if a parameter does not exist.
    """

    def __init__(
        self,
        group_id: str,
        *,
        default_args: Mapping[str, Any] | None = None,
        tooltip: str = "",
        **parameters: Unpack[PoolParameters],
    ) -> None:
        if unknown := set(parameters) - PoolParameters.__annotations__.keys():
            msg = f"BatchLinuxPool has no parameter {', '.join(sorted(unknown))}."
            raise TypeError(msg)
        super().__init__(
            group_id=group_id,
            default_args=dict(default_args or {}),  # type: ignore[arg-type]  # of copy.deepcopy
            tooltip=tooltip or "A pool of Linux nodes on Azure Batch.",
        )
        self.create = BatchLinuxCreatePoolOperator(
            task_id="create", task_group=self, **_chosen(CreateParameters, parameters)
        )
        created: Any = self.create.output
        self.wait = BatchLinuxNodesIdleSensor(
            task_id="wait",
            task_group=self,
            pool_id=created["pool_id"],
            requested_at=created["requested_at"],
            multiple_outputs=True,
            **_chosen(WaitParameters, parameters),
        )
        self.delete = BatchLinuxDeletePoolOperator(
            task_id="delete",
            task_group=self,
            pool_id=created["pool_id"],
            **_chosen(DeleteParameters, parameters),
        ).as_teardown(setups=[self.create, self.wait], on_failure_fail_dagrun=True)
        # Airflow ignores failures upstream of a teardown that may fail the Dag run, if nothing else follows.
        self.end = EmptyOperator(task_id="end", task_group=self)
        self._is_closed = False

    @property
    def pool_id(self) -> Any:
        """
        The id of the pool once its nodes are ready, as an XCom for the parameters of tasks.

        :raises RuntimeError: after the ``with`` block. A task that is added then would not keep the pool from
            being deleted.
        """
        if self._is_closed:
            msg = (
                f"The pool_id of group {self.group_id!r} is used after its with block, so the pool may be "
                "deleted before the task has ended. Create the task inside the block."
            )
            raise RuntimeError(msg)
        ready: Any = self.wait.output
        return ready["pool_id"]

    def __enter__(self) -> BatchLinuxPool:
        """Begin the block; tasks that are created in it belong to the group."""
        super().__enter__()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        """End the block: delete the pool after the tasks that use it."""
        super().__exit__(_type, _value, _tb)  # type: ignore[no-untyped-call]  # untyped in Airflow
        self._is_closed = True
        users = [task for task in self.create.get_flat_relatives() if task is not self.delete]
        self.delete.set_upstream(_last_of(users))
        # A teardown in the block succeeds also if the task before it has failed.
        self.end.set_upstream(_last_of([task for task in users if not task.is_teardown]))


def _chosen(kind: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of one of the operators."""
    names = NAMES_OF_DELETE if kind is DeleteParameters else {}
    return {
        names.get(name, name): value for name, value in parameters.items() if name in kind.__annotations__
    }


def _last_of(tasks: Collection[Operator]) -> list[Operator]:
    ids = {task.task_id for task in tasks}
    return [task for task in tasks if ids.isdisjoint(task.downstream_task_ids)]
