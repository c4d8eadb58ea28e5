"""The operator that runs a command on a pool."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.core.instants import Duration, optional_seconds, seconds_of
from airflow_provider_batchlinux.core.tasks.cleanup import DELETE_JOB_CHOICES, DeleteJob
from airflow_provider_batchlinux.exceptions import (
    BatchLinuxError,
    TaskFailedError,
    WaitTimeoutError,
)
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    BatchLinuxBaseOperator,
    deadline_of,
    defer_to,
    id_stem_of,
    owner_of,
    result_of,
)
from airflow_provider_batchlinux.triggers.task import BatchLinuxTaskTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks.jobs import Submission
    from airflow_provider_batchlinux.client.tasks.tasks import EndedTask, Reading
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.tasks.task import TaskSpec

__all__ = ["BatchLinuxTaskOperator"]

_KILL_LIMIT = 4.0
"""Seconds."""


class BatchLinuxTaskOperator(BatchLinuxBaseOperator):
    """
    Run a command on a node of a pool, and show its output.

    The command becomes a Batch job with one task. Any node of the pool may run it. Its stdout and stderr
    are written to the Airflow log when it is over, and a non-zero exit code fails the Airflow task.

    A retry after a lost worker goes on with the command when it still runs; a command that ended is run
    anew. Killing the Airflow task ends the command; killing it while it is deferred does so from Airflow
    3.3 on, once a triggerer has taken it over: in the second before, Airflow tells nobody, and the command
    goes on until ``time_limit`` or the deletion of its pool.

    Result in XCom: ``job_id``, ``exit_code``, ``node_id``, ``seconds`` and ``result`` (what
    ``result_file`` held).

    :param pool_id: the pool. (templated)
    :param command: a bash command; it runs in a working directory of its own. (templated)
    :param environment: environment variables for the command. The service shows them to whoever may read
        the job, so they are no place for secrets. (templated)
    :param files: small files to place in the working directory first: the name there, and the path where
        the worker finds it. Together they may take 96 KiB when compressed; ``None`` for none. (templated)
    :param result_file: a JSON file in the working directory, at most 48 KiB, whose content becomes
        ``result``; ``None`` for none. (templated)
    :param elevated: run the command as root.
    :param time_limit: how long the command may run, as a pendulum duration, ``timedelta`` or seconds,
        after which the service ends it; ``None`` for no limit. Airflow's ``execution_timeout`` also
        counts the time the command waits for a node.
    :param max_retries: further tries by the service after a non-zero exit code.
    :param delete_job: when to delete the job with its files: ``always`` leaves nothing behind,
        ``on_success`` keeps a failed one to look at, ``never`` keeps all. An active job counts against
        the account's quota.
    :param output_limit: bytes of stdout and of stderr that the log shows at most; the end is shown.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds. With
        less than 5 s, a deferred task can come back before a busy scheduler has noticed that it left; Airflow
        (3.3.2) then takes it for killed, and only a retry helps.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "command",
        "environment",
        "files",
        "result_file",
    )
    template_fields_renderers = {"command": "bash", "environment": "json", "files": "json"}  # noqa: RUF012
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#d8ecf3"

    def __init__(
        self,
        *,
        pool_id: str,
        command: str,
        environment: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
        result_file: str | None = None,
        elevated: bool = False,
        time_limit: Duration | None = None,
        max_retries: int = 0,
        delete_job: DeleteJob = "always",
        output_limit: int = 256 * 1024,
        poll_interval: Duration = timedelta(seconds=15),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if delete_job not in DELETE_JOB_CHOICES:
            msg = f"delete_job={delete_job!r} is not one of {', '.join(DELETE_JOB_CHOICES)}."
            raise ValueError(msg)
        self.pool_id = pool_id
        self.command = command
        self.environment = environment or {}
        self.files = files or {}
        self.result_file = result_file
        self.elevated = elevated
        self.time_limit = time_limit
        self.max_retries = max_retries
        self.delete_job = delete_job
        self.output_limit = output_limit
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self._to_kill: tuple[AccountSettings, str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the command, wait until it is over, and show how it went."""
        from airflow_provider_batchlinux.client.tasks.jobs import submit_task
        from airflow_provider_batchlinux.client.tasks.tasks import finish_task

        settings = self.hook.settings()
        submission = self._submission(context, settings.id_prefix)
        BatchLinuxPoolLink.persist(context, settings, self.pool_id)
        self._to_kill = settings, submission.job_id

        async def story(client: BatchLinuxClient) -> BatchLinuxTaskTrigger | EndedTask:
            job_id = await submit_task(client, submission)
            self._to_kill = settings, job_id
            self.log.info("Job %r runs the command on pool %r.", job_id, self.pool_id)
            trigger = self._trigger(context, job_id)
            async with self._given_up_on_error(client, job_id, context):
                over = await trigger.settle(client, block=not self.deferrable)
            return await finish_task(client, job_id, self._reading()) if over else trigger

        ended = self.hook.run(story, settings=settings)
        if isinstance(ended, BatchLinuxTaskTrigger):
            defer_to(self, ended)
        return _result(ended)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Read the command's outcome after the trigger fired, or raise what the trigger reports."""
        from airflow_provider_batchlinux.client.tasks.tasks import finish_task
        from airflow_provider_batchlinux.core.events import WaitEvent

        job_id = str(WaitEvent.from_payload(event).arguments["job_id"])
        settings = self.hook.settings()
        self._to_kill = settings, job_id

        async def story(client: BatchLinuxClient) -> EndedTask:
            async with self._given_up_on_error(client, job_id, context):
                result_of(event)
            return await finish_task(client, job_id, self._reading())

        return _result(self.hook.run(story, settings=settings))

    def on_kill(self) -> None:
        """End the command. Airflow kills the worker after five seconds, so this gives up before."""
        from airflow_provider_batchlinux.client.tasks.tasks import abandon_task

        if self._to_kill is None:
            return
        settings, job_id = self._to_kill

        async def story(client: BatchLinuxClient) -> None:
            await self._best_effort(abandon_task(client, job_id, self.delete_job), job_id)

        self.hook.run(story, settings=settings)

    @asynccontextmanager
    async def _given_up_on_error(
        self, client: BatchLinuxClient, job_id: str, context: Context
    ) -> AsyncIterator[None]:
        """End the command when it is hopeless, and when no retry follows that could go on with it."""
        from airflow_provider_batchlinux.client.tasks.tasks import abandon_task

        try:
            yield
        except BatchLinuxError as error:
            ti: Any = context["ti"]
            hopeless = isinstance(error, (TaskFailedError, WaitTimeoutError))
            if hopeless or ti.try_number > ti.max_tries:
                await self._best_effort(abandon_task(client, job_id, self.delete_job), job_id)
            raise

    async def _best_effort(self, ending: Awaitable[None], job_id: str) -> None:
        try:
            await asyncio.wait_for(ending, _KILL_LIMIT)
        except (BatchLinuxError, asyncio.TimeoutError) as error:
            self.log.warning("Job %r could not be ended and may go on: %s", job_id, error)

    def _submission(self, context: Context, id_prefix: str) -> Submission:
        from airflow_provider_batchlinux.client.tasks.jobs import Submission

        return Submission(
            spec=self._spec(),
            id_stem=id_stem_of(context, id_prefix),
            try_number=context["ti"].try_number,
            token=uuid.uuid4().hex,
            owner=owner_of(context),
        )

    def _spec(self) -> TaskSpec:
        from airflow_provider_batchlinux.core.tasks.files import pack_files
        from airflow_provider_batchlinux.core.tasks.task import TaskSpec

        missing = [path for path in self.files.values() if not Path(path).is_file()]
        contents = {name: Path(path).read_bytes() for name, path in self.files.items() if path not in missing}
        spec = TaskSpec(
            pool_id=self.pool_id,
            command=self.command,
            environment=self.environment,
            elevated=self.elevated,
            packed_files=pack_files(contents) if contents else None,
            time_limit=optional_seconds("time_limit", self.time_limit),
            max_retries=self.max_retries,
        )
        problems = [*spec.problems(), *(f"files names {path!r}, which is no file here." for path in missing)]
        if problems:
            raise ValueError("\n".join(problems))
        return spec

    def _trigger(self, context: Context, job_id: str) -> BatchLinuxTaskTrigger:
        return BatchLinuxTaskTrigger(
            pool_id=self.pool_id,
            job_id=job_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=seconds_of("poll_interval", self.poll_interval),
            deadline=deadline_of(context, self.execution_timeout),
            delete_job=self.delete_job,
        )

    def _reading(self) -> Reading:
        from airflow_provider_batchlinux.client.tasks.tasks import Reading

        return Reading(self.output_limit, self.result_file, self.delete_job)


def _result(ended: EndedTask) -> dict[str, Any]:
    return {
        "job_id": ended.job_id,
        "exit_code": ended.task.exit_code,
        "node_id": ended.task.node_id,
        "seconds": ended.task.seconds,
        "result": ended.result,
    }
