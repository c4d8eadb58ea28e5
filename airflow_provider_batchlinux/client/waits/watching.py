"""Clients that answer questions about one pool, or one command, from the shared pollers of the account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.waits.counts_reader import CountsReading
from airflow_provider_batchlinux.client.waits.job_reader import JobReading
from airflow_provider_batchlinux.client.waits.loop import Wait, WaitSchedule, wait_for
from airflow_provider_batchlinux.client.waits.poller import HEARTBEATS, Poller, Reading, Watch
from airflow_provider_batchlinux.client.waits.reader import PoolReading
from airflow_provider_batchlinux.client.waits.room import RoomReading, RoomWait
from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
from airflow_provider_batchlinux.core.room import RoomKind
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.tasks.records import TaskCounts
from airflow_provider_batchlinux.core.tasks.task import TaskSnapshot

T = TypeVar("T")
R = TypeVar("R", bound=Reading)

WatchedSubject: TypeAlias = tuple[
    Poller[Any], Callable[[BatchLinuxClient, Watch[Any]], BatchLinuxClient], str
]
"""The poller that serves a wait, the class of the client that answers from its readings, and the subject."""


class WatchedClient(BatchLinuxClient):
    """
    The client for a wait on one pool.

    It answers questions about that pool from the newest reading of the shared poller; the exact list of nodes
    is requested once for all waits. Everything else goes to the service; after that, the wait sees only newer
    readings.

    :param client: the open client that all waits share.
    :param watch: the wait's watch at the poller.
    """

    def __init__(self, client: BatchLinuxClient, watch: Watch[PoolReading]) -> None:
        super().__init__(
            client.sdk, _ObservedRetry(**vars(client.retry), on_request=watch.invalidate), client.clock
        )
        self._client = client
        self._watch = watch

    async def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Return the pool in the newest reading."""
        if not self._follows(pool_id):
            return await super().find_pool(pool_id)
        return (await self._watch.reading()).pool

    async def find_pool_body(self, pool_id: str, select: Sequence[str] | None = None) -> Body | None:
        """Return the pool's REST body in the newest reading, if that has all selected properties."""
        if not self._follows(pool_id) or not select or not set(select) <= set(POOL_FIELDS):
            return await super().find_pool_body(pool_id, select)
        return (await self._watch.reading()).body

    async def node_counts(self, pool_id: str) -> dict[str, int]:
        """Return the pool's nodes by state in the newest reading."""
        if not self._follows(pool_id):
            return await super().node_counts(pool_id)
        return dict((await self._watch.reading()).counts)

    async def list_nodes(self, pool_id: str, *, where: str | None = None) -> list[NodeSnapshot]:
        """Return the exact list of nodes, together with all waits that ask the same now."""
        if not self._follows(pool_id):
            return await super().list_nodes(pool_id, where=where)
        return list(await self._watch.once(where, lambda: self._client.list_nodes(pool_id, where=where)))

    def _follows(self, pool_id: str) -> bool:
        return pool_id.lower() == self._watch.key


class WatchedJobClient(BatchLinuxClient):
    """
    The client for a wait on the command of one job.

    It answers questions about that command from the newest reading of the shared poller.

    :param client: the open client that all waits share.
    :param watch: the wait's watch at the poller.
    """

    def __init__(self, client: BatchLinuxClient, watch: Watch[JobReading]) -> None:
        super().__init__(client.sdk, client.retry, client.clock)
        self._watch = watch

    async def may_have_ended(self, job_id: str) -> bool:
        """Return ``False`` if the newest list shows the job as active."""
        return job_id.lower() != self._watch.key or (await self._watch.reading()).is_exact

    async def find_task(self, job_id: str, task_id: str) -> TaskSnapshot | None:
        """Return the task in the newest reading, or ask the service if that is only a list of jobs."""
        if job_id.lower() != self._watch.key or not (reading := await self._watch.reading()).is_exact:
            return await super().find_task(job_id, task_id)
        self._watch.poll_again()
        return reading.task


class WatchedCountsClient(BatchLinuxClient):
    """
    The client for a wait on many commands, which counts them by the newest reading of the shared poller.

    :param client: the open client that all waits share.
    :param watch: the wait's watch at the poller.
    """

    def __init__(self, client: BatchLinuxClient, watch: Watch[CountsReading]) -> None:
        super().__init__(client.sdk, client.retry, client.clock)
        self._watch = watch

    async def task_counts(self, job_id: str) -> TaskCounts | None:
        """Return the counts in the newest reading."""
        if job_id.lower() != self._watch.key:
            return await super().task_counts(job_id)
        reading = await self._watch.reading()
        self._watch.poll_again()
        return reading.counts


async def wait_at_poller(
    client: BatchLinuxClient,
    poller: Poller[R],
    client_of: Callable[[BatchLinuxClient, Watch[R]], BatchLinuxClient],
    subject_id: str,
    wait_of: Callable[[BatchLinuxClient], Wait],
    pace: WaitSchedule,
) -> dict[str, Any]:
    """
    Wait for something about a pool or a job; poll when the account's poller has something new.

    :param client: the account's open client.
    :param client_of: the class of the client that answers from the readings of the poller.
    :param subject_id: the id of the pool or job.
    :param wait_of: returns the wait, given the client that it polls with.
    :param pace: how often the wait would poll on its own.
    """
    watch = poller.watch(subject_id, pace.interval, pace.left, soonest=pace.soonest, age=pace.age)
    async with watch:
        return await _wait_with(watch, wait_of(client_of(client, watch)), pace)


async def wait_for_room(account: SharedAccount, kind: RoomKind, pace: WaitSchedule) -> dict[str, Any]:
    """Wait until a full quota has room for one create, together with all who wait for the same."""
    watch = account.rooms.watch(kind, pace.interval, pace.left)

    async def read() -> RoomReading:
        reading = await watch.reading()
        watch.poll_again()
        return reading

    async with watch:
        return await _wait_with(watch, RoomWait(kind, read, account.room(kind)), pace)


async def _wait_with(watch: Watch[Any], wait: Wait, pace: WaitSchedule) -> dict[str, Any]:
    # The poller wakes the wait after a change; its own interval is only for what time alone decides.
    began = pace.clock()

    async def until_woken(seconds: float) -> bool:
        if pace.longest is not None:
            watch.interval = pace.interval_after(pace.clock() - began, 0.0)
        return await watch.until_woken(seconds)

    longest = None if pace.longest is None else pace.longest * HEARTBEATS
    slower = replace(pace, interval=watch.heartbeat, between=until_woken, longest=longest, soonest=None)
    return await wait_for(wait, slower)


@dataclass(frozen=True)
class _ObservedRetry(RetryPolicy):
    """A retry policy that reports each request."""

    on_request: Callable[[], None] = lambda: None

    async def run(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await super().run(what, attempt)
        finally:
            self.on_request()
