"""Read the commands of many jobs in few requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import commonprefix

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import read_each
from airflow_provider_batchlinux.core.tasks.job import pool_of_job
from airflow_provider_batchlinux.core.tasks.task import TASK_ID, TaskSnapshot
from airflow_provider_batchlinux.exceptions import BatchRequestError

FOLLOWED = 20
"""Commands that are each asked for, and whose output is followed; more are listed together."""

_FEW = 2
"""Commands that are asked for although there are many others: a list costs as many requests."""

_BUDGET = 3
"""Requests of a turn that reads many commands, while nothing changes."""

_POOLS_EVERY = 4
"""Turns after which the pools of many commands are looked at."""

_PAGE = 1000
"""Jobs in a page of a list."""


@dataclass(frozen=True)
class JobReading:
    """
    One reading of the command of a job.

    :param task: the command as it was last asked for; ``None`` if it was not asked for, or does not exist.
    :param is_gone: whether it does not exist.
    :param turn: the turn of the poller that read it.
    :param is_exact: whether the command itself was read. Otherwise the list shows its job as active.
    :param error: why it could not be read, or ``None``.
    """

    task: TaskSnapshot | None
    is_gone: bool
    turn: int = field(compare=False)
    is_exact: bool = field(compare=False)
    error: BatchRequestError | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended, or does not exist."""
        return self.is_gone or (self.task is not None and self.task.state == "completed")


class JobReader:
    """
    Read commands together: each by its own request if they are few, otherwise by one list of active jobs.

    A job ends itself with its command (``onAllTasksComplete``). So a job that the list shows as active still
    runs its command, and one that it does not show has its command asked for. How soon after its command a
    job of the real service leaves the list is not known; therefore what is left of the budget of a turn asks
    for the listed commands in turn.
    """

    noun = "job"
    crowd = 500

    def __init__(self, client: BatchLinuxClient) -> None:
        self._client = client
        self._tasks: dict[str, TaskSnapshot] = {}
        self._turns = self._next = 0

    def few(self, watched: int) -> int:
        """Return how many commands are each asked for."""
        return watched if watched <= FOLLOWED else _FEW

    async def read(self, ids: Sequence[str], turn: int, watched: int) -> dict[str, JobReading]:
        """
        Return the readings of the commands of these jobs.

        :param turn: the turn of the poller, for the readings.
        :param watched: the number of commands that are watched.
        """
        if len(ids) == watched:
            kept = {job_id.lower() for job_id in ids}
            self._tasks = {key: task for key, task in self._tasks.items() if key in kept}
        listed: set[str] = set()
        sample: set[str] = set()
        if len(ids) > self.few(watched):
            listed, sample = await self._listed(ids)
        found = await self._exact([job_id for job_id in ids if job_id.lower() not in listed], turn)
        self._tasks.update((job_id.lower(), one.task) for job_id, one in found.items() if one.task)
        sampled = await self._exact([job_id for job_id in ids if job_id.lower() in sample], turn)
        found.update((job_id, one) for job_id, one in sampled.items() if one.has_ended)
        return {
            job_id: found.get(job_id)
            or JobReading(self._tasks.get(job_id.lower()), False, turn, is_exact=False)
            for job_id in ids
        }

    async def _exact(self, ids: Sequence[str], turn: int) -> dict[str, JobReading]:
        found = await read_each(ids, lambda job_id: self._client.find_task(job_id, TASK_ID))
        return {
            job_id: JobReading(task, task is None and error is None, turn, is_exact=True, error=error)
            for job_id, (task, error) in found.items()
        }

    async def _listed(self, ids: Sequence[str]) -> tuple[set[str], set[str]]:
        """Return the keys of the jobs that still run their commands, and of some to ask for in any case."""
        rows = await self._client.find_jobs(
            commonprefix(ids),  # noqa: RUF071  # of ids, which are no paths
            state="active",
            select=["id", "poolInfo", "onAllTasksComplete"],
        )
        pools = {
            str(row["id"]).lower(): pool_of_job(row)
            for row in rows
            if str(row.get("onAllTasksComplete") or "").lower() == "terminatejob"
        }
        wanted = {job_id.lower() for job_id in ids}
        listed = pools.keys() & wanted
        self._turns += 1
        # In every second turn, since turns are a little closer than the interval.
        left = _BUDGET - max(1, -(-len(rows) // _PAGE)) if self._turns % 2 == 0 else 0
        if left > 0 and self._turns % _POOLS_EVERY == 0:
            left -= 1
            # The commands of a pool that does not exist, or is being deleted, never end.
            found = await self._client.list_pools(["id", "state"])
            there = {str(row["id"]).lower() for row in found if str(row.get("state")).lower() != "deleting"}
            listed = {key for key in listed if pools[key].lower() in there}
        return listed, self._sample(sorted(listed), left)

    def _sample(self, keys: Sequence[str], size: int) -> set[str]:
        """Return the next few of the listed commands, which are asked for although their jobs are active."""
        if not keys or size <= 0:
            return set()
        first = self._next % len(keys)
        self._next = first + size
        return set(keys[first : first + size])
