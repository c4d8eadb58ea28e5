"""The base of all triggers: serialisation by fields, one run of the waiting loop, and what a kill does."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent
from async_timeout import timeout

from airflow_provider_batchlinux.core.events import VERSION
from airflow_provider_batchlinux.core.poll_interval import SOONEST_OF_COMMANDS, SOONEST_OF_NODES
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    error_to_payload,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

if TYPE_CHECKING:
    from typing_extensions import Required, TypedDict, Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.waits.loop import Wait, WaitSchedule
    from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
    from airflow_provider_batchlinux.client.waits.watching import WatchedSubject
    from airflow_provider_batchlinux.core.events import WaitEvent

    class WaitArguments(TypedDict, total=False):
        """The arguments of all triggers, described at :class:`BatchLinuxTrigger`."""

        batch_linux_conn_id: Required[str]
        poll_interval: Required[float]
        max_poll_interval: float | None
        deadline: float | None
        limited_by: str | None
        version: int

    class SubmittedArguments(WaitArguments, total=False):
        """The arguments of all triggers that wait for a job, described at `BatchLinuxSubmittedTrigger`."""

        pool_id: Required[str]
        job_id: Required[str]
        submitted_at: float | None
        start_by: float | None
        has_secrets: bool


LONGEST_FIRST_WAIT = 5.0
"""Seconds. A trigger that fires immediately can overtake the deferral that created it, and fail the task."""

_GRACE = 60.0
"""Seconds after the deadline until Airflow times the deferral out, at least."""

KILL_LIMIT = 4.0
"""Seconds that a cancellation may take on a worker: Airflow ends its process 5 s after the signal."""

_TRIGGERER_KILL_LIMIT = 10.0
"""The same on a triggerer, which goes on after a kill: there, a slow service may take longer."""

_OVER = frozenset({"failed", "removed", "skipped", "success", "upstream_failed", "gone"})
"""Any other state counts as alive, also one that a later Airflow adds: a cancellation cannot be reverted."""

log = logging.getLogger(__name__)

# asyncio keeps only weak references to tasks.
_kills: set[asyncio.Task[None]] = set()


class ShortEvent(TriggerEvent):
    """An event whose line in Airflow's log shows only its job or pool and its outcome, not its payload."""

    def __repr__(self) -> str:
        name = str(self.payload["trigger"]).rpartition(".")[2]
        arguments = self.payload["arguments"]
        of = arguments.get("job_id") or arguments.get("pool_id")
        return f"TriggerEvent<{name} {of}: {'failed' if self.payload['error'] else 'done'}>"

    __str__ = __repr__


class BatchLinuxTrigger(BaseTrigger):
    """
    The base of the triggers of this provider.

    Airflow stores the arguments in its database: names and numbers only, never a secret. If a
    later release has stored others, the trigger fires with an error that says so.

    :param batch_linux_conn_id: the connection to the Batch account.
    :param poll_interval: seconds between two polls at most; after a change they are closer.
    :param max_poll_interval: the longest interval in seconds; the intervals then grow. ``None`` keeps them
        as they are.
    :param deadline: seconds since the epoch after which the wait times out; ``None`` for never. An instant
        rather than a duration, so that it holds over restarts of the triggerer.
    :param limited_by: the operator's parameter that the deadline is from; ``None`` if it is unknown.
    :param version: the version of the arguments, as they were stored.
    """

    soonest: ClassVar[float] = SOONEST_OF_NODES
    """Seconds between two polls after a change."""

    former: ClassVar[frozenset[str]] = frozenset()
    """Arguments that an earlier release stored: they are still read, and no longer stored."""

    marked_success = False
    """Whether a user ended the Airflow task by marking it as a success; known to :meth:`cancel`."""

    def __init__(
        self,
        *,
        batch_linux_conn_id: str,
        poll_interval: float,
        max_poll_interval: float | None = None,
        deadline: float | None = None,
        limited_by: str | None = None,
        version: int = VERSION,
        **unknown: object,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.batch_linux_conn_id = batch_linux_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.deadline = deadline
        self.limited_by = limited_by
        self.version = version
        self.unknown = tuple(unknown)
        self.fired = False

    def watched(self, account: SharedAccount) -> WatchedSubject | None:  # noqa: ARG002
        """Return what a shared poller reads for this wait; ``None`` if the wait polls on its own."""
        return None

    @property
    def expires(self) -> float | None:
        """
        Seconds since the epoch after which Airflow itself times the deferral out; ``None`` for never.

        Later than the deadline: Airflow's time-out calls no ``on_kill`` and has no message of ours, so it is
        only for a triggerer that is gone.
        """
        return None if self.deadline is None else self.deadline + max(_GRACE, 2 * self.poll_interval)

    @property
    def cancels_on_kill(self) -> bool:
        """Whether :meth:`cancel` is to be called when a user ends the Airflow task."""
        return False

    @abstractmethod
    def wait(self, client: BatchLinuxClient) -> Wait:
        """Return what to wait for."""

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind, as the beginning of a log line."""
        return "What the task started may go on"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """End what the task has started, because the task itself was ended, and log it."""

    async def try_to_cancel(self, client: BatchLinuxClient, limit: float = KILL_LIMIT) -> None:
        """
        Cancel, and log a warning if that fails.

        :param limit: seconds that it may take; the default is that of a worker.
        """
        try:
            async with timeout(limit):
                await self.cancel(client)
        except (BatchLinuxError, asyncio.TimeoutError) as error:
            self.log.warning("%s: %s", self.uncancelled, str(error) or f"no answer in {limit:g} s.")

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow creates the trigger again."""
        cls = type(self)
        return f"{cls.__module__}.{cls.__qualname__}", {name: getattr(self, name) for name in _arguments(cls)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event with the outcome."""
        from airflow_provider_batchlinux.core.events import WaitEvent

        try:
            self._require_known()
            result = await self._result()
            event = WaitEvent(*self.serialize(), result)
        except (BatchLinuxError, ValueError) as error:
            event = WaitEvent(*self.serialize(), error=error_to_payload(error))
        # What has fired is not cancelled by a later kill: the resumed task does that itself.
        self.fired = True
        yield ShortEvent(payload=event.to_payload())

    async def run_on_worker(self, client: BatchLinuxClient, *, block: bool) -> dict[str, Any] | None:
        """
        Wait on a worker, without a deferral.

        :param block: wait to the end; ``False`` polls once, and returns ``None`` if it is too early.
        """
        from airflow_provider_batchlinux.client.waits.loop import wait_for

        wait = self.wait(client)
        if block:
            return await wait_for(wait, self.schedule(first_wait=0.0))
        # Of a wait that is over already, such as a retry's, the task need not defer.
        result = await wait.poll()
        if result is None:
            self.log.info("%s", wait.status)
        return result

    def schedule(self, *, first_wait: float) -> WaitSchedule:
        """
        Return how often to poll.

        :param first_wait: seconds before the first poll.
        """
        from airflow_provider_batchlinux.client.waits.loop import WaitSchedule

        return WaitSchedule(
            self.poll_interval,
            self.deadline,
            first_wait,
            longest=self.max_poll_interval,
            soonest=self.soonest if self.max_poll_interval is None else None,
            age=self.age,
        )

    @property
    def age(self) -> float:
        """Seconds since the last change that is known of what is waited for."""
        return 0.0

    async def on_kill(self) -> None:
        """
        Cancel what is waited for after a user ended the Airflow task (Airflow 3.3 and later).

        Airflow also calls this on a triggerer that merely lost the trigger to another one, and cancels the
        call after about a second. Therefore nothing is done while the task instance is alive, and the work
        is shielded from the cancellation.
        """
        if self.fired or not self.cancels_on_kill:
            return
        kill = asyncio.ensure_future(self._cancel_if_over())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _cancel_if_over(self) -> None:
        task_instance: Any = getattr(self, "task_instance", None)
        try:
            if task_instance is not None:
                state = await final_state(task_instance)
                if state is None:
                    self.log.info(
                        "The task instance of %r is alive; nothing is cancelled.", type(self).__name__
                    )
                    return
                self.marked_success = state == "success"
            # With a client of its own: the one of run() may be closed by now.
            hook = BatchLinuxHook(self.batch_linux_conn_id, retry_budget=_TRIGGERER_KILL_LIMIT)
            async with hook.client() as client:
                await self.try_to_cancel(client, _TRIGGERER_KILL_LIMIT)
        except Exception as error:  # Airflow may have cancelled the call, and would not report it
            self.log.warning("%s: %s: %s", self.uncancelled, type(error).__name__, error)

    def _require_known(self) -> None:
        if self.version > VERSION or self.unknown:
            extra = f" with {', '.join(self.unknown)}" if self.unknown else ""
            msg = (
                f"The trigger was stored in version {self.version}{extra}, and this triggerer reads versions "
                f"up to {VERSION}: triggerer and worker run different releases of the provider. Update both, "
                "then clear the task."
            )
            raise ValueError(msg)

    async def _result(self) -> dict[str, Any]:
        hook = BatchLinuxHook(self.batch_linux_conn_id)
        settings = await hook.async_settings()
        while True:
            try:
                async with await hook.acquire_account(settings) as account:
                    settings = account.settings
                    return await self._result_at(account)
            except BatchAuthenticationError:
                # The key may have been rotated while we waited: retry with the connection's current
                # credentials, if they are others.
                renewed = await hook.async_settings()
                if renewed == settings:
                    raise
                settings = renewed

    @property
    def first_wait(self) -> float:
        """Seconds before the first poll on the triggerer."""
        return min(self.poll_interval, LONGEST_FIRST_WAIT)

    def _result_at(self, account: SharedAccount) -> Awaitable[dict[str, Any]]:
        """Wait on the triggerer, with a client that is shared by all waits of the account."""
        from airflow_provider_batchlinux.client.waits.loop import wait_for
        from airflow_provider_batchlinux.client.waits.watching import wait_at_poller

        client, schedule = account.client, self.schedule(first_wait=self.first_wait)
        watched = self.watched(account)
        if watched is None:
            return wait_for(self.wait(client), schedule)
        return wait_at_poller(client, *watched, self.wait, schedule)


class BatchLinuxPoolTrigger(BatchLinuxTrigger):
    """
    The base of the triggers that the shared poller serves.

    :param pool_id: the pool.
    """

    def __init__(self, *, pool_id: str, **common: Unpack[WaitArguments]) -> None:
        super().__init__(**common)
        self.pool_id = pool_id

    def watched(self, account: SharedAccount) -> WatchedSubject:
        """Return the pool and the poller that reads it."""
        from airflow_provider_batchlinux.client.waits.watching import WatchedClient

        return account.pools, WatchedClient, self.pool_id


class BatchLinuxSubmittedTrigger(BatchLinuxTrigger):
    """
    A trigger that waits for what its task has submitted as a job, and that ends it if the task is killed.

    :param pool_id: the pool it runs on.
    :param job_id: the job.
    :param submitted_at: seconds since the epoch at which it was submitted; ``None`` if it is unknown. What is
        young is looked at more often.
    :param start_by: seconds since the epoch until which it may wait for its start; ``None`` for no limit.
    :param has_secrets: whether it reads secrets from blobs, which the metadata of the job names.
    """

    soonest = SOONEST_OF_COMMANDS

    id_stem: str | None = None
    """The prefix of the ids of the jobs of all tries, as long as a try has not seen what they have left."""

    is_listed = False
    """Whether the service lists the job, if it exists: no create of it is under way."""

    is_killed = False
    """Whether the Airflow task was ended from outside; known to :meth:`cancel`."""

    def __init__(
        self,
        *,
        pool_id: str,
        job_id: str,
        submitted_at: float | None = None,
        start_by: float | None = None,
        has_secrets: bool = False,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(**common)
        self.pool_id = pool_id
        self.job_id = job_id
        self.submitted_at = submitted_at
        self.start_by = start_by
        self.has_secrets = has_secrets

    @property
    def age(self) -> float:
        """Seconds since the submission."""
        return 0.0 if self.submitted_at is None else max(0.0, time.time() - self.submitted_at)

    @property
    def first_wait(self) -> float:
        """Seconds before the first poll; the poller then collects other waits for a second."""
        return min(self.poll_interval, LONGEST_FIRST_WAIT - 1.0)

    @property
    def cancels_on_kill(self) -> bool:
        """A kill ends the job."""
        return True

    async def on_kill(self) -> None:
        """End the job after a user ended the Airflow task."""
        self.is_killed = True
        await super().on_kill()

    async def cancel(self, client: BatchLinuxClient) -> None:
        """End the job; those of earlier tries, too, as long as it is not known which of them goes on."""
        from airflow_provider_batchlinux.core.tasks.job import is_active

        listed = await client.find_jobs(self.id_stem) if self.id_stem is not None else []
        found = [str(job["id"]) for job in listed if is_active(job)]
        own = [] if self.is_listed else [self.job_id]
        for job_id in dict.fromkeys([*found, *own]):
            await self.end(client, job_id)

    @abstractmethod
    async def end(self, client: BatchLinuxClient, job_id: str) -> None:
        """End a job, because the task itself was ended, and log it."""


@cache
def _arguments(trigger: type[BatchLinuxTrigger]) -> tuple[str, ...]:
    """Return the names of the arguments that Airflow stores of a trigger."""
    kinds = [kind for kind in trigger.__mro__ if issubclass(kind, BatchLinuxTrigger)]
    named = [inspect.signature(kind.__init__).parameters.values() for kind in kinds]
    keywords = [item.name for items in named for item in items if item.kind is inspect.Parameter.KEYWORD_ONLY]
    return tuple(name for name in dict.fromkeys(keywords) if name not in trigger.former)


def trigger_of(event: WaitEvent) -> BatchLinuxTrigger:
    """Return the trigger that fired an event, with its arguments."""
    module, _, name = event.trigger.rpartition(".")
    trigger: BatchLinuxTrigger = getattr(import_module(module), name)(**event.arguments)
    return trigger


async def delete_owned(client: BatchLinuxClient, pool_id: str, owner: Mapping[str, str], reason: str) -> None:
    """
    Delete a pool if one Dag run has created it and no other uses it, and log what was done.

    :param owner: ``dag_id`` and ``run_id``, and as ``installation`` the id of their Airflow.
    :param reason: why, as the end of a sentence.
    """
    from airflow_provider_batchlinux.client.pools.release import delete_own_pool
    from airflow_provider_batchlinux.core.pool_metadata import Holder

    await delete_own_pool(client, pool_id, reason, run=Holder.of(owner))


async def final_state(task_instance: Any) -> str | None:
    """
    Return the final state of a task instance, ``gone`` if it no longer exists, ``None`` while it is alive.

    :param task_instance: the one that Airflow gave to the trigger.
    """
    states = await _task_states(
        task_instance.dag_id,
        task_instance.run_id,
        [task_instance.task_id],
        map_index=task_instance.map_index,
    )
    # A mapped task instance is listed as "<task id>_<map index>". One that was cleared is listed without a
    # state: its next try adopts what this one started, or ends it.
    mapped = f"{task_instance.task_id}_{task_instance.map_index}"
    state = states.get(mapped, states.get(task_instance.task_id, "gone"))
    text = str(getattr(state, "value", state))
    return text if text in _OVER else None


async def are_over(dag_id: str, run_id: str, task_ids: Sequence[str]) -> bool:
    """
    Return whether all instances of some tasks of a Dag run have ended for good, or no longer exist.

    :param task_ids: the tasks; of a mapped one, all its instances count.
    """
    states = await _task_states(dag_id, run_id, task_ids)
    return all(str(getattr(state, "value", state)) in _OVER for state in states.values())


async def _task_states(
    dag_id: str, run_id: str, task_ids: Sequence[str], map_index: int | None = None
) -> dict[str, Any]:
    from asgiref.sync import sync_to_async

    def ask() -> dict[str, dict[str, Any]]:
        # Imported in the thread: the task runner is slow to import, and would hold up all other triggers.
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return RuntimeTaskInstance.get_task_states(
            dag_id=dag_id, task_ids=list(task_ids), run_ids=[run_id], map_index=map_index
        )

    return (await sync_to_async(ask)()).get(run_id, {})
