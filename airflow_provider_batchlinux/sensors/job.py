"""The sensor that waits for a job that was made elsewhere, or for one task of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.links.portal import BatchLinuxJobLink
from airflow_provider_batchlinux.sensors._base import BatchLinuxSensor
from airflow_provider_batchlinux.triggers.job import BatchLinuxJobOutcomeTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.tasks.requests import JobSensorRequest

__all__ = ["BatchLinuxJobSensor"]


class BatchLinuxJobSensor(BatchLinuxSensor["JobSensorRequest"]):
    """
    Wait for the tasks of a job that another Dag or program has made: until all have succeeded, or one.

    A job without tasks is waited for: more may be added until the job ends. As soon as all tasks that the job
    has have ended, the wait is over. The task fails immediately if waiting cannot help:

    - The job does not exist, or is deleted.
    - The task has failed, or more tasks than ``max_failed`` (a share is compared at the end).
    - The job has ended, or is disabled, and tasks have not begun.
    - Tasks wait for others that have failed, or for a pool that does not exist.

    .. code-block:: python

        BatchLinuxJobSensor(task_id="rendered", job_id="render-{{ ds }}", deferrable=True)

    Result in XCom: ``job_id``, and how many ``tasks`` there are, and ``succeeded``, ``failed`` and
    ``not_run``. With ``batch_task_id``: ``job_id``, ``batch_task_id``, ``exit_code``, ``node_id`` and
    ``seconds``.

    .. seealso::
        ``docs/howto/run-many-commands.md``.

    :param job_id: the job. (templated)
    :param batch_task_id: the task of the job to wait for; ``None`` waits for all. A task that does not exist
        is waited for until the job ends. (templated)
    :param max_failed: how many tasks may fail or not run, as a number or a share such as ``"5%"``.
        (templated)
    :param allow_empty: succeed also if the job has ended without a task. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, but starts a worker
        process for each poll. (templated)
    :param poke_interval: the longest time between two polls, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    operator_extra_links = (BatchLinuxJobLink(),)

    def __init__(
        self,
        *,
        job_id: str,
        batch_task_id: str | None = None,
        max_failed: int | str = 0,
        allow_empty: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.batch_task_id = batch_task_id
        self.max_failed = max_failed
        self.allow_empty = allow_empty
        self._shown_failures: list[str] = []

    @classmethod
    def request_class(cls) -> type[JobSensorRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.tasks.requests import JobSensorRequest

        return JobSensorRequest

    def trigger(self, deadline: float | None = None) -> BatchLinuxJobOutcomeTrigger:
        """Return the trigger that waits for the same."""
        request = self.request
        trigger = BatchLinuxJobOutcomeTrigger(
            job_id=request.job_id,
            batch_task_id=request.batch_task_id,
            max_failed=request.max_failed,
            allow_empty=request.allow_empty,
            batch_linux_conn_id=request.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
        trigger.shown = self._shown_failures  # shared by all polls on this worker
        return trigger
