"""The operator that runs many commands as one job."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout

from airflow_provider_batchlinux._metrics import report_commands
from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import (
    BatchQuotaError,
    TaskFailedError,
    TaskFailedForGoodError,
    WaitTimeoutError,
)
from airflow_provider_batchlinux.hooks._lineage import LineageMixin
from airflow_provider_batchlinux.hooks._storage_connection import DEFAULT_STORAGE_CONN_ID, storage_access
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxJobLink, BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    is_last_try,
    item_of,
    marked_owner,
    save_result,
    tries_of,
)
from airflow_provider_batchlinux.operators._parameters import (
    COMMAND_RENDERERS,
    list_in_file,
    packed_commands,
    with_assets,
)
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxWaitingOperator,
    Step,
)
from airflow_provider_batchlinux.triggers.job import BatchLinuxJobTrigger
from airflow_provider_batchlinux.triggers.room import BatchLinuxRoomTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks.records import CommandList, JobsOfTries
    from airflow_provider_batchlinux.core.tasks.job import DeleteJob, Tries
    from airflow_provider_batchlinux.core.tasks.records import TaskRecord
    from airflow_provider_batchlinux.core.tasks.requests import JobRequest, OnTaskFailure
    from airflow_provider_batchlinux.core.tasks.spec.job import JobSpec
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
    from airflow_provider_batchlinux.specs import AutoUserSpec, TaskContainerSpec
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

__all__ = ["BatchLinuxJobOperator"]


class BatchLinuxJobOperator(LineageMixin, BatchLinuxWaitingOperator["JobRequest"]):
    """
    Run many commands on the nodes of a pool, as one job of the service and one Airflow task.

    One command for many items, whose parts are shared:

    .. code-block:: python

        BatchLinuxJobOperator(
            task_id="sweep",
            pool_id="etl",
            command="python3 train.py --rate {item.rate} --depth {item.depth}",
            items=[{"rate": rate, "depth": depth} for rate in (0.1, 0.2) for depth in (2, 4, 8)],
            files={"train.py": "/opt/etl/train.py"},
            result_file="score.json",
            deferrable=True,
        )

    Commands of their own, some of which wait for others:

    .. code-block:: python

        BatchLinuxJobOperator(
            task_id="months",
            pool_id="etl",
            tasks=[
                TaskSpec("./clean.sh 1", id="jan"),
                TaskSpec("./clean.sh 2", id="feb"),
                TaskSpec("./report.sh", id="report", depends_on=["jan", "feb"], required_slots=2),
            ],
            files={"clean.sh": "/opt/etl/clean.sh", "report.sh": "/opt/etl/report.sh"},
            preparation="curl -sSf -O https://example.com/holidays.csv",
        )

    The service spreads the commands over the nodes, as many on each as it has slots. The log counts them as
    they end, and shows the first failures immediately, with the end of their stderr.

    - A retry, also after the task was cleared, runs only the commands that have failed or never ran. A
      command has succeeded only if its text, data and other parts are still the same, also of those that it
      waits for, and its result file can be read.
    - A job whose worker was lost goes on. A job that has ended stays until all commands have succeeded, and
      holds no quota; ``delete_job`` says what follows.
    - Killing the Airflow task, or marking it, ends the job, and keeps what is done for a later try.

    Result in XCom: ``job_id``; the numbers ``tasks``, ``succeeded``, ``skipped``, ``failed`` and ``not_run``;
    ``records``, a list with ``id``, ``job_id``, ``outcome``, ``exit_code``, ``node_id``, ``seconds``,
    ``result``, ``outputs`` (where they are) and ``error`` of each command, or ``None`` if they are more than
    256 KiB; and ``records_file``, the URL of the file with them that ``results_to`` asks for. A task that
    fails has the same result.

    .. seealso::
        ``docs/howto/run-many-commands.md``,
        ``sweep`` in ``example_dags/example_parameter_sweep.py``,
        and ``job`` in ``example_dags/example_job.py``.

    :param pool_id: the pool. (templated)
    :param tasks: the commands: a list of bash commands, of
        :class:`~airflow_provider_batchlinux.specs.TaskSpec` or mappings with their fields; or the path or URL
        of a file with such a list as JSON or JSON lines, which is read again when they have ended: what was
        submitted decides if it has changed. (templated)
    :param command: the bash command that runs for each of ``items``, and for tasks that have none of their
        own; ``None`` for none. ``{item}`` in it stands for the item, ``{item.name}`` for a value in an item
        that is a mapping, quoted for bash. It is refused within quotes, here-documents, comments, backquotes
        and ``${...}``; in arithmetic it has to be a number. (templated)
    :param items: the values for each of which ``command`` runs, instead of ``tasks``; or the path or URL of a
        file with them. In ``environment``, ``inputs``, ``outputs`` and ``result_file``, ``{item}`` stands for
        the item, too. (templated)
    :param environment: environment variables of all commands; ``None`` for none. The service shows them to
        everyone who may read the job. (templated)
    :param files: small files to copy to the working directory of each command: the name there, and the path
        on the worker. (templated)
    :param secret_environment: environment variables that are no part of the job, as for
        :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator`. (templated)
    :param secret_files: files that are no part of the job, likewise. (templated)
    :param secret_storage: a container or prefix for the blob with them. (templated)
    :param inputs: what the node downloads before each command, by the path in its working directory.
        (templated)
    :param outputs: what the node uploads after each command, by the path or pattern. (templated)
    :param storage_conn_id: the connection to the storage account of inputs, outputs, secrets and records.
        The SAS tokens that nodes get are valid for a week, or for ``time_limit`` if that is longer.
        (templated)
    :param storage_identity: the ARM id of a managed identity of the pool, which the nodes use for storage
        instead of SAS tokens. (templated)
    :param container: the container to run the commands in: its image, or a
        :class:`~airflow_provider_batchlinux.specs.TaskContainerSpec`. (templated)
    :param result_file: a JSON file in the working directory of each command, at most 48 KiB, whose content
        becomes the ``result`` in its record; it takes two requests for each command. ``None`` for none.
        (templated)
    :param run_as: the name of a user account of the pool, or an
        :class:`~airflow_provider_batchlinux.specs.AutoUserSpec`, which may be root; ``None`` is an automatic
        user that is not. (templated)
    :param required_slots: how many task slots of its node a command occupies. (templated)
    :param priority: the priority of the job, from -1000 to 1000. (templated)
    :param time_limit: how long each command may run before the service terminates it, as a pendulum duration,
        ``timedelta`` or seconds; ``None`` for no limit. Airflow's ``execution_timeout`` is for all.
        (templated)
    :param start_limit: how long the first command may wait for a node, from the start of this try or from the
        end of a wait for quota; then the task fails with the cause, and the job is ended. The others may wait
        longer; ``None`` for no limit. (templated)
    :param max_retries: how often the service retries a command after a non-zero exit code; -1 for without
        limit. (templated)
    :param preparation: a command that runs on each node before its first command of the job, as text or
        :class:`~airflow_provider_batchlinux.specs.TaskSpec`; ``None`` for none. It shares no parts with the
        commands, which find its files in ``$AZ_BATCH_JOB_PREP_WORKING_DIR``. (templated)
    :param release: a command that runs on each of these nodes when the job has ended, likewise. The service
        takes one only with a ``preparation``. (templated)
    :param manager: a command that runs first and may add commands to the job, by the service's API; a retry
        runs it again. (templated)
    :param max_parallel: how many commands run concurrently at most; ``None`` for as many as there are slots.
        (templated)
    :param on_task_failure: what a failed command does to the others: ``continue``, or ``end`` the job.
        Commands that depend on it are not run in any case. (templated)
    :param max_failed: how many commands may fail or not run, as a number or a share such as ``"5%"``, for the
        Airflow task to succeed; the manager may not fail, and one of them has to run. (templated)
    :param results_to: a blob or prefix such as ``"abfs://results/{{ run_id }}/"``, to which the records are
        written as JSON lines; ``None`` for no file. (templated)
    :param allow_empty: succeed, with a warning, if there is no command; ``False`` fails the task. (templated)
    :param delete_job: when to delete the jobs with the files of the commands: ``always``, ``on_success`` or
        ``never``. With ``always``, they are deleted after the last try, too, and nothing of it is left for a
        task that is cleared. (templated)
    :param quota_limit: how long to wait for room if the account's quota of active jobs is full, from the
        start of the try, as a pendulum duration, ``timedelta`` or seconds; ``None`` fails immediately.
        (templated)
    :param exit_codes: what exit codes of a command mean, such as ``{99: "skip", 2: "fail"}``; ``None`` for
        none. ``success``: as 0. ``skip``: it counts as skipped; the Airflow task is, if all are. ``fail``: it
        fails, and if too many fail the Airflow task is not retried. ``retry``: it fails. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds. A
        poll is one request, whatever the number of commands. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    operator_extra_links = (
        BatchLinuxPoolPageLink(),
        BatchLinuxPoolLink(),
        BatchLinuxJobLink(),
        BatchLinuxNodeLink(),
    )
    template_fields_renderers = {  # noqa: RUF012
        **COMMAND_RENDERERS,
        **dict.fromkeys(("tasks", "items", "preparation", "release", "manager"), "json"),
    }

    def __init__(
        self,
        *,
        pool_id: str,
        tasks: Sequence[TaskSpec | Mapping[str, Any] | str] | str | None = None,
        command: str | None = None,
        items: Sequence[Any] | str | None = None,
        environment: dict[str, str | None] | None = None,
        files: dict[str, str] | None = None,
        secret_environment: dict[str, str] | None = None,
        secret_files: dict[str, str] | None = None,
        secret_storage: Any = None,
        inputs: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        storage_conn_id: str = DEFAULT_STORAGE_CONN_ID,
        storage_identity: str | None = None,
        container: TaskContainerSpec | Mapping[str, Any] | str | None = None,
        result_file: str | None = None,
        run_as: AutoUserSpec | Mapping[str, Any] | str | None = None,
        required_slots: int | str = 1,
        priority: int | str = 0,
        time_limit: Duration | str | None = None,
        start_limit: Duration | str | None = None,
        max_retries: int | str = 0,
        preparation: TaskSpec | Mapping[str, Any] | str | None = None,
        release: TaskSpec | Mapping[str, Any] | str | None = None,
        manager: TaskSpec | Mapping[str, Any] | str | None = None,
        max_parallel: int | str | None = None,
        on_task_failure: OnTaskFailure = "continue",
        max_failed: int | str = 0,
        results_to: Any = None,
        allow_empty: bool | str = False,
        delete_job: DeleteJob = "on_success",
        quota_limit: Duration | str | None = timedelta(hours=1),
        exit_codes: Mapping[int, str] | Mapping[str, str] | str | None = None,
        poll_interval: Duration | str = timedelta(seconds=15),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.inlets, self.outlets = with_assets(self.inlets, inputs), with_assets(self.outlets, outputs)
        self.tasks, self.command, self.items, self.inputs, self.files = tasks, command, items, inputs, files
        self.priority, self.release, self.manager, self.container = priority, release, manager, container
        self.outputs, self.run_as, self.max_failed, self.exit_codes = outputs, run_as, max_failed, exit_codes
        self.secret_environment, self.delete_job, self.time_limit = secret_environment, delete_job, time_limit
        self.storage_identity, self.results_to, self.environment = storage_identity, results_to, environment
        self.storage_conn_id, self.result_file, self.start_limit = storage_conn_id, result_file, start_limit
        self.on_task_failure, self.max_retries, self.preparation = on_task_failure, max_retries, preparation
        self.secret_storage, self.secret_files, self.max_parallel = secret_storage, secret_files, max_parallel
        self.required_slots, self.quota_limit, self.allow_empty = required_slots, quota_limit, allow_empty

    _is_reported = _is_counted = False
    """Whether XCom has the records of this try, because it fails; whether metrics have counted them."""

    @classmethod
    def request_class(cls) -> type[JobRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.tasks.requests import JobRequest

        return JobRequest

    def lineage_tasks(self) -> Mapping[str, TaskSpec]:
        """Return the commands with their data, those of the job itself, too."""
        from airflow_provider_batchlinux.core.tasks.spec.job import OWN_IDS

        request = self.read_request()
        own = {OWN_IDS[name]: task for name, task in request.own_tasks().items()}
        return {**own, **self._commands(request)}

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Submit the commands that have not succeeded in an earlier try."""
        from airflow_provider_batchlinux.client.tasks.many import ManySubmission, submit_job

        request = self.request
        owner, is_last = marked_owner(context, self.installation), is_last_try(context)
        tries = self._tries(context)
        arguments = {
            **self.trigger_arguments(context),
            "exit_codes": {str(code): ending for code, ending in (request.exit_codes or {}).items()},
            "deletes": is_last and request.delete_job == "always",
            "submitted_at": time.time(),
            "prepares": request.preparation is not None,
            "start_by": self.start_by(context, request.start_limit),
            "has_secrets": True,
        }
        trigger = BatchLinuxJobTrigger(job_id=tries.job_id, **arguments)
        try:
            async with self.submitting(client, context, trigger, tries.id_stem):
                tasks = self._commands(request)
                if not tasks and request.manager is None:
                    return await self._nothing(client, context)
                submission = ManySubmission(
                    spec=await self._job(client, tasks),
                    tries=tries,
                    token=uuid.uuid4().hex,
                    owner=owner,
                    storage=storage_access(),
                    delete_job=request.delete_job,
                )
                found = await submit_job(client, submission)
        except BatchQuotaError as error:
            return self.wait_for_room(context, error, request.quota_limit)
        arguments["has_secrets"] = bool(submission.blobs)
        arguments["has_dependencies"] = submission.spec.has_dependencies
        if found.job_id is None:
            return await self._end(client, context, "", len(tasks), None)
        self.log.info(
            "Job %r runs %s%s on pool %r.",
            found.job_id, counted(found.total, "task"), item_of(context), request.pool_id,
        )  # fmt: skip
        return BatchLinuxJobTrigger(
            job_id=found.job_id, total=found.total, done=found.done, starts=found.starts, **arguments
        )

    async def finish(
        self,
        client: BatchLinuxClient,
        context: Context,
        trigger: BatchLinuxTrigger,
        result: dict[str, Any],
    ) -> Step:
        """Return the records of the commands; or submit them now."""
        if isinstance(trigger, BatchLinuxRoomTrigger):
            self.continue_after_room(trigger)
            return await self.submit(client, context)
        assert isinstance(trigger, BatchLinuxJobTrigger)
        note = str(result.get("note") or "")
        return await self._end(client, context, note, trigger.submitted, trigger.job_id)

    def cancels_after(self, error: Exception, context: Context) -> bool:
        """Return whether the job is lost or timed out, or no retry follows that could go on with it."""
        return isinstance(error, (TaskFailedError, WaitTimeoutError)) or is_last_try(context)

    async def what_ended(
        self, client: BatchLinuxClient, context: Context, trigger: BatchLinuxTrigger, error: BaseException
    ) -> str:
        """Return which commands have ended before the task failed, after their records are kept."""
        from airflow_provider_batchlinux.client.tasks.records import (
            ends_of,
            forget_lost,
            jobs_of_tries,
            read_records,
        )
        from airflow_provider_batchlinux.core.tasks.records import counts_text, failure_lines

        if self._is_reported:
            return ""
        if isinstance(error, AirflowTaskTimeout):
            await trigger.try_to_cancel(client)  # Airflow calls on_kill() later
        submitted = trigger.submitted if isinstance(trigger, BatchLinuxJobTrigger) else None
        jobs = await jobs_of_tries(client, self._tries(context))
        if not jobs.bodies and submitted is None:
            return ""
        commands = self._submitted(submitted, has_failed=True)
        records = await read_records(client, jobs, commands, is_strict=False)
        job_id = getattr(trigger, "job_id", None)
        result, unwritten = await self._result(context, jobs, records, job_id)
        await jobs.mark_counted(client, records)
        save_result(context, result)
        # What was ended with the job comes after what has ended by its own exit code.
        failed = [record for record in records if record.outcome == "failed"]
        failed.sort(key=lambda record: record.task is None or record.task.exit_code is None)
        lines = failure_lines(failed, await ends_of(client, failed))
        await forget_lost(client, failed)
        if isinstance(trigger, BatchLinuxJobTrigger):
            is_kept = unwritten is not None or any(record.unread for record in records)
            if trigger.deletes and not is_kept:
                await jobs.delete(client)
            trigger.deletes = False  # also if Airflow calls on_kill() later
        summary = f"{counted(len(records), 'command')} until then: {counts_text(records)}."
        return "\n".join(filter(None, [summary, *lines, _unwritten(unwritten)]))

    def _commands(self, request: JobRequest) -> dict[str, TaskSpec]:
        """Return the commands by the ids of their tasks."""
        from airflow_provider_batchlinux.core.parameters.reader import readers_of
        from airflow_provider_batchlinux.core.tasks.expand import expanded

        problems = list[str]()
        tasks: Any = request.tasks
        if isinstance(tasks, str):
            tasks = readers_of(type(request))["tasks"].read("tasks", list_in_file("tasks", tasks), problems)
        items: Any = request.items
        if isinstance(items, str):
            items = list_in_file("items", items)
        if problems:
            raise ValueError("\n".join(problems))
        return expanded(
            request.parts(request.command),
            tasks,
            items,
            ends_with_failure=request.on_task_failure == "end",
        )

    async def _job(self, client: BatchLinuxClient, tasks: Mapping[str, TaskSpec]) -> JobSpec:
        """Return the job to submit; check first what only the worker and the pool know about it."""
        from airflow_provider_batchlinux.client.tasks.jobs import require_engine
        from airflow_provider_batchlinux.core.tasks.spec.job import JobSpec

        request = self.request
        own, commands = packed_commands(request.own_tasks()), packed_commands(tasks)
        for command in (*own.values(), *commands.values()):
            if command.task.container is not None:
                await require_engine(client, request.pool_id, command.task.container.image)
                break
        return JobSpec(
            request.pool_id,
            commands,
            request.priority,
            request.start_limit,
            own=own,
            is_many=True,
            max_parallel=request.max_parallel,
            ends_with_failure=request.on_task_failure == "end",
        )

    async def _nothing(self, client: BatchLinuxClient, context: Context) -> dict[str, Any]:
        from airflow_provider_batchlinux.core.tasks.records import counts_of

        msg = "There is no command to run: tasks or items are empty"
        if not self.request.allow_empty:
            msg = f"{msg}. allow_empty=True lets that succeed."
            raise ValueError(msg)
        if context["ti"].try_number > 1:
            # The worker of an earlier try, which had commands, may have been lost.
            jobs = await self._ended_jobs(client, context)
            await self._when_read(client, context, jobs)
        self.log.warning("%s; allow_empty permits that.", msg)
        return {"job_id": None, **counts_of([]), "records": [], "records_file": None}

    async def _ended_jobs(self, client: BatchLinuxClient, context: Context) -> JobsOfTries:
        """Return the jobs that count for this try, and end what may still run of them."""
        from airflow_provider_batchlinux.client.tasks.records import jobs_of_tries

        jobs = await jobs_of_tries(client, self._tries(context))
        await jobs.end(client, storage_access())
        return jobs

    async def _when_read(self, client: BatchLinuxClient, context: Context, jobs: JobsOfTries) -> None:
        """Mark the jobs before the task succeeds, and delete them after that, unless they are kept."""
        await jobs.mark_read(client, context["ti"].try_number)
        if self.request.delete_job != "never":
            self.when_success_is_stored(jobs.delete)

    def _tries(self, context: Context) -> Tries:
        owner = marked_owner(context, self.installation)
        return tries_of(context, owner, self.account.id_prefix, self.retries or 0)

    def _submitted(self, number: int | None, *, has_failed: bool = False) -> CommandList:
        """
        Return the commands as the end of their job is read by them.

        :param number: how many were submitted; ``None`` if it is unknown.
        :param has_failed: whether the task has failed already, so that what is missing is no matter.
        """
        from airflow_provider_batchlinux.client.tasks.records import CommandList
        from airflow_provider_batchlinux.core.tasks.reading import TaskReading
        from airflow_provider_batchlinux.core.tasks.spec.job import JobSpec
        from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

        request, tasks, is_known = self.request, dict[str, TaskSpec](), False
        path = request.result_file
        shared = TaskReading(request.exit_codes or {}, None if path is None or "{item" in path else path)
        try:
            tasks, is_known = self._commands(request), True
        except ValueError as error:
            if number is None and not has_failed:
                raise
            # Such as a file that was deleted since. What was submitted is in the jobs.
            self.log.warning("The commands are read from the job: %s", error)

        @cache
        def digests() -> Mapping[str, str]:
            try:
                own = packed_commands(request.own_tasks())
                return JobSpec(request.pool_id, packed_commands(tasks), own=own).digests
            except ValueError:  # such as one of the files, which was deleted since
                return {}

        readings = {task_id: TaskReading.of(task) for task_id, task in tasks.items()}
        return CommandList(readings, digests, shared, number if request.manager is None else None, is_known)

    async def _end(
        self, client: BatchLinuxClient, context: Context, note: str, submitted: int | None, job_id: str | None
    ) -> dict[str, Any]:
        """
        Read the records, clean up, and return the result.

        :param note: why some commands never run, as far as the wait knows.
        :param submitted: how many commands were submitted; ``None`` if it is unknown.
        :param job_id: the job that was waited for; ``None`` if earlier tries have done all.
        """
        from airflow_provider_batchlinux.client.tasks.records import ends_of, forget_lost, read_records
        from airflow_provider_batchlinux.core.tasks.records import allowed_failures, failure_text
        from airflow_provider_batchlinux.core.tasks.spec.job import MANAGER_ID

        request, commands = self.request, self._submitted(submitted)
        jobs = await self._ended_jobs(client, context)
        records = await read_records(client, jobs, commands)
        jobs.require(job_id, records, has_manager=request.manager is not None)
        bad = [record for record in records if record.outcome in ("failed", "not_run")]
        # A job whose manager has failed may lack commands.
        is_whole = all(record.task_id != MANAGER_ID for record in bad)
        has_run = any(record.task is not None and record.task.has_run for record in records)
        allowed = allowed_failures(request.max_failed, len(records), has_run=has_run) if is_whole else 0
        result, unwritten = await self._result(context, jobs, records)
        if len(bad) > allowed or unwritten is not None:
            await jobs.mark_counted(client, records)
            save_result(context, result)
            self._is_reported = True
        if len(bad) > allowed:
            bad.sort(key=lambda record: record.outcome)  # what failed, before what therefore was not run
            failures = failure_text(bad, allowed, len(records), await ends_of(client, bad))
            await forget_lost(client, bad)
            is_final = any(record.ending == "fail" for record in bad)
            is_over = is_final or is_last_try(context)
            if request.delete_job == "always" and is_over and unwritten is None:
                await jobs.delete(client)
            kind = TaskFailedForGoodError if is_final else TaskFailedError
            first = bad[0].task
            raise kind(
                "\n".join(filter(None, [failures, note, _unwritten(unwritten)])),
                exit_code=first.exit_code if first is not None else None,
                node_id=first.node_id if first is not None else None,
            )
        if unwritten is not None:
            raise unwritten
        await self._when_read(client, context, jobs)
        if records and all(record.outcome == "skipped" for record in records):
            msg = "The exit codes of all commands say that there was nothing to do: skipped."
            raise AirflowSkipException(msg)
        return result

    async def _result(
        self, context: Context, jobs: JobsOfTries, records: Sequence[TaskRecord], job_id: str | None = None
    ) -> tuple[dict[str, Any], Exception | None]:
        """
        Report the records, and return the result, and why the file with them was not written.

        :param job_id: the job that was waited for, if it is not among the jobs any more.
        """
        from airflow_provider_batchlinux.core.storage.locations import parse_location
        from airflow_provider_batchlinux.core.tasks.records import (
            LARGEST_IN_XCOM,
            counts_of,
            counts_text,
            json_lines,
        )

        job_id = next(iter(jobs.bodies), job_id)
        if not self._is_counted:
            report_commands(dict(context), (record.outcome for record in jobs.uncounted(records)))
            self._is_counted = True
        self.remember_ends({one.task_id: one.task.own_exit_code if one.task else None for one in records})
        self.log.info("%s: %s.", counted(len(records), "command"), counts_text(records))
        rows = [record.to_dict() for record in records]
        lines, request, file, unwritten = json_lines(rows), self.request, None, None
        is_small = len(lines) <= LARGEST_IN_XCOM
        if request.results_to is not None:
            location = parse_location(request.results_to)
            if location.is_prefix:
                location = location.child(f"{job_id}.jsonl")
            conn_id = location.conn_id or request.storage_conn_id
            try:
                file = await storage_access().put(location, conn_id, lines.encode())
            except Exception as error:  # also of a storage connection that cannot be used
                unwritten = error
            else:
                self.log.info("The records of %s are in %s.", counted(len(rows), "command"), file)
        elif not is_small:
            self.log.warning(
                "The records of %s are too large for XCom, and left out: name a place for them as "
                "results_to.",
                counted(len(rows), "command"),
            )
        result = {
            "job_id": job_id,
            **counts_of(records),
            "records": rows if is_small else None,
            "records_file": file,
        }
        return result, unwritten


def _unwritten(error: Exception | None) -> str:
    return f"The records were not written to results_to: {error}" if error is not None else ""
