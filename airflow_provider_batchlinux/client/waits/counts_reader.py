"""Read the counts of the tasks of jobs with many commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import read_each
from airflow_provider_batchlinux.core.tasks.records import TaskCounts
from airflow_provider_batchlinux.exceptions import BatchRequestError

_MOST_READ = 20
"""Jobs that a turn asks for; more are read in turn."""


@dataclass(frozen=True)
class CountsReading:
    """
    One reading of the counts of a job.

    :param counts: the counts; ``None`` if the job does not exist.
    :param turn: the turn of the poller that read it.
    :param error: why it could not be read, or ``None``.
    """

    counts: TaskCounts | None
    turn: int = field(compare=False)
    error: BatchRequestError | None = None


class CountsReader:
    """Read each job by one request; of many jobs in a turn, those that were not read for the longest time."""

    noun = "job"
    crowd = 500

    def __init__(self, client: BatchLinuxClient) -> None:
        self._client = client
        self._newest: dict[str, CountsReading] = {}

    def few(self, watched: int) -> int:
        """Return how many jobs are each asked for."""
        return watched

    async def read(self, ids: Sequence[str], turn: int, watched: int) -> dict[str, CountsReading]:
        """
        Return the readings of these jobs.

        :param turn: the turn of the poller, for the readings.
        :param watched: the number of jobs that are watched.
        """
        if len(ids) == watched:
            self._newest = {job_id: self._newest[job_id] for job_id in ids if job_id in self._newest}
        asked = sorted(ids, key=lambda job_id: self._newest[job_id].turn if job_id in self._newest else 0)
        unread = sum(job_id not in self._newest for job_id in ids)
        asked = asked[: max(_MOST_READ, unread)]

        found = await read_each(asked, self._client.task_counts)
        for job_id, (counts, error) in found.items():
            self._newest[job_id] = CountsReading(counts, turn, error)
        return {job_id: replace(self._newest[job_id], turn=turn) for job_id in ids}
