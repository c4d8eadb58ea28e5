"""The operator that runs a command on a node of a pool."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_batchlinux._metrics import report_commands
from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import BatchQuotaError, TaskFailedError, WaitTimeoutError
from airflow_provider_batchlinux.hooks._lineage import LineageMixin
from airflow_provider_batchlinux.hooks._storage_connection import (
    DEFAULT_STORAGE_CONN_ID,
    storage_access,
)
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxJobLink, BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    is_last_try,
    item_of,
    marked_owner,
    tries_of,
)
from airflow_provider_batchlinux.operators._parameters import (
    COMMAND_RENDERERS,
    missing_files,
    with_assets,
)
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxWaitingOperator,
    Step,
)
from airflow_provider_batchlinux.triggers.task import BatchLinuxTaskTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.tasks.job import DeleteJob
    from airflow_provider_batchlinux.core.tasks.requests import TaskRequest
    from airflow_provider_batchlinux.core.tasks.spec.job import JobSpec
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
    from airflow_provider_batchlinux.specs import (
        ApplicationPackageSpec,
        AutoUserSpec,
        TaskContainerSpec,
    )
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

__all__ = ["BatchLinuxTaskOperator"]


class BatchLinuxTaskOperator(LineageMixin, BatchLinuxWaitingOperator["TaskRequest"]):
    """
    Run a command on a node of a pool and log its output.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="transform",
            pool_id="etl",
            command="python3 transform.py --day {{ ds }}",
            files={"transform.py": "/opt/etl/transform.py"},
            deferrable=True,
        )

    With data in Azure Storage:

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="clean",
            pool_id="etl",
            command="sort -u raw.csv > clean.csv",
            inputs={"raw.csv": "abfs://raw/{{ ds }}.csv"},
            outputs={"clean.csv": "abfs://clean/{{ ds }}.csv"},
        )

    The command becomes a Batch job with one task, which may run on any node of the pool. Its output
    follows in the Airflow log while it runs. A non-zero exit code fails the Airflow task.

    - A retry adopts a command of an earlier try that still runs, or that has succeeded without its result
      having been read. Any other command that has ended is run again.
    - If the output or result cannot be read now, the task fails with the service's answer, and the job is
      kept for the retry.
    - Killing the Airflow task terminates the command. While the task is deferred, this needs Airflow 3.3 or
      later, and a triggerer that has already started the trigger; until then the command runs on to its
      ``time_limit`` or the deletion of its pool.

    Result in XCom: ``job_id``, ``exit_code``, ``node_id``, ``seconds`` and ``result``, the content of
    ``result_file``.

    .. seealso::
        ``docs/howto/run-commands.md``,
        and ``task`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool. (templated)
    :param command: a bash command; it runs in its own working directory. (templated)
    :param environment: environment variables of the command; ``None`` for none. One whose value is ``None``
        is left out. The service shows them to everyone who may read the job: put secrets into
        ``secret_environment``. (templated)
    :param files: small files to copy to the working directory: the name there, and the path on the worker. At
        most 96 KiB in total when compressed; ``None`` for none. (templated)
    :param secret_environment: environment variables that are no part of the job: they reach the command in a
        blob, which is deleted when the command has ended. Needs ``secret_storage``. (templated)
    :param secret_files: files that are no part of the job, likewise: contents by their paths in the working
        directory. Only the user that runs the command can read them. (templated)
    :param secret_storage: a container or prefix for that blob, such as ``"abfs://private/"``. (templated)
    :param inputs: what the node downloads before the command: by the path in the working directory, the URL
        of a blob, of a prefix or of a container, as text, ``ObjectStoragePath``, Asset or
        :class:`~airflow_provider_batchlinux.specs.InputSpec`. An Asset is also added to ``inlets``.
        (templated)
    :param outputs: what the node uploads after the command: by the path or pattern in the working directory,
        the URL of a blob or prefix, as text, ``ObjectStoragePath``, Asset or
        :class:`~airflow_provider_batchlinux.specs.OutputSpec`. A command that succeeds without such a file
        fails. An Asset is also added to ``outlets``. (templated)
    :param storage_conn_id: the connection to the storage account of inputs, outputs and secrets, of type
        ``wasb`` or ``adls``. The node gets SAS tokens that are valid until the command's last possible end.
        (templated)
    :param storage_identity: the ARM id of a managed identity of the pool, which the node uses for storage
        instead of SAS tokens. (templated)
    :param container: the container to run the command in: its image, or a
        :class:`~airflow_provider_batchlinux.specs.TaskContainerSpec`. The pool needs a container engine, and
        the image ``/bin/bash``; ``None`` runs it on the node itself. (templated)
    :param application_packages: application packages of the Batch account that the node installs before the
        command, each an :class:`~airflow_provider_batchlinux.specs.ApplicationPackageSpec`; ``None`` for
        none. Their directories are in variables such as ``AZ_BATCH_APP_PACKAGE_blender``. (templated)
    :param result_file: a JSON file in the working directory, at most 48 KiB, whose content becomes
        ``result``; ``None`` for none. (templated)
    :param elevated: run the command as root, as ``run_as=AutoUserSpec(elevation="admin")`` does.
        (templated)
    :param run_as: the name of a user account of the pool, or an
        :class:`~airflow_provider_batchlinux.specs.AutoUserSpec`; ``None`` is an automatic user that all
        commands on a node share and that is not root. (templated)
    :param required_slots: how many task slots of its node the command occupies. (templated)
    :param priority: the priority of its job, from -1000 to 1000; commands of higher priority start first.
        (templated)
    :param affinity: the id of the node on which the command is preferred to run; it runs on another one if
        that node is busy or gone; ``None`` for no preference. (templated)
    :param time_limit: how long the command may run before the service terminates it, as a pendulum duration,
        ``timedelta`` or seconds; ``None`` for no limit. Airflow's ``execution_timeout`` includes the time
        that the command waits for a node. (templated)
    :param start_limit: how long the command may wait for its start, from the start of the try, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` for no limit. Why a pool has no node that can run it is
        in the log in any case. (templated)
    :param max_retries: how often the service retries the command after a non-zero exit code; -1 for without
        limit. (templated)
    :param delete_job: when to delete the job with its files: ``always``, ``on_success`` (keeps a failed job
        for inspection) or ``never``. A kept job ends with its command, and holds no quota. (templated)
    :param rerun_finished: run the command again in a retry, even if an earlier try has run it with success
        and only its result was not read. (templated)
    :param quota_limit: how long to wait for room if the account's quota of active jobs is full, from the
        start of the try, as a pendulum duration, ``timedelta`` or seconds; ``None`` fails immediately.
        (templated)
    :param exit_codes: what exit codes of the command mean, such as ``{99: "skip", 2: "fail"}``; ``None`` for
        none. ``success``: as 0. ``skip``: the Airflow task is skipped. ``fail``: it fails, and is not
        retried. ``retry``: it fails, and is retried if a try is left. Any other code than 0 means ``retry``.
        (templated)
    :param output_limit: how many bytes of stdout and of stderr are logged at most: half of it while the
        command runs, the rest for the end. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds. A
        young command is polled every 3 s, and later at a tenth of its age. With less than 5 s, a deferred
        task may resume before a busy scheduler has recorded the deferral; Airflow (3.3.2) then treats it as
        killed, and only a retry helps. (templated)
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
    template_fields_renderers = {**COMMAND_RENDERERS, "application_packages": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        pool_id: str,
        command: str,
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
        application_packages: Sequence[ApplicationPackageSpec | dict[str, Any]] | None = None,
        result_file: str | None = None,
        elevated: bool | str = False,
        run_as: AutoUserSpec | Mapping[str, Any] | str | None = None,
        required_slots: int | str = 1,
        priority: int | str = 0,
        affinity: str | None = None,
        time_limit: Duration | str | None = None,
        start_limit: Duration | str | None = None,
        max_retries: int | str = 0,
        delete_job: DeleteJob = "always",
        rerun_finished: bool | str = False,
        quota_limit: Duration | str | None = timedelta(hours=1),
        exit_codes: Mapping[int, str] | Mapping[str, str] | str | None = None,
        output_limit: int | str = 256 * 1024,
        poll_interval: Duration | str = timedelta(seconds=15),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.inlets = with_assets(self.inlets, inputs)
        self.outlets = with_assets(self.outlets, outputs)
        self.command, self.environment, self.files = command, environment, files
        self.secret_environment, self.secret_files = secret_environment, secret_files
        self.secret_storage, self.inputs, self.outputs = secret_storage, inputs, outputs
        self.storage_conn_id, self.storage_identity = storage_conn_id, storage_identity
        self.container, self.result_file = container, result_file
        self.elevated, self.run_as, self.affinity = elevated, run_as, affinity
        self.required_slots, self.priority, self.output_limit = required_slots, priority, output_limit
        self.time_limit, self.start_limit, self.max_retries = time_limit, start_limit, max_retries
        self.delete_job, self.rerun_finished, self.exit_codes = delete_job, rerun_finished, exit_codes
        self.quota_limit, self.application_packages = quota_limit, application_packages

    @classmethod
    def request_class(cls) -> type[TaskRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.tasks.requests import TaskRequest

        return TaskRequest

    def lineage_tasks(self) -> Mapping[str, TaskSpec]:
        """Return the command with its data."""
        from airflow_provider_batchlinux.core.tasks.task import TASK_ID

        return {TASK_ID: self.read_request().task()}

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Submit the command, or adopt the one that an earlier try has left running."""
        from airflow_provider_batchlinux.client.tasks.jobs import Submission, submit_task

        request = self.request
        owner = marked_owner(context, self.installation)
        tries = tries_of(context, owner, self.account.id_prefix, self.retries or 0)
        arguments = {
            **self.trigger_arguments(context),
            "delete_job": request.delete_job,
            "submitted_at": time.time(),
            "has_secrets": bool(request.secret_environment or request.secret_files),
            "output_limit": request.output_limit,
            "start_by": self.start_by(context, request.start_limit),
        }
        trigger = BatchLinuxTaskTrigger(job_id=tries.job_id, **arguments)
        try:
            async with self.submitting(client, context, trigger, tries.id_stem):
                submission = Submission(
                    spec=await self._job(client),
                    tries=tries,
                    token=uuid.uuid4().hex,
                    owner=owner,
                    storage=storage_access(),
                    rerun_finished=request.rerun_finished,
                    exit_codes=request.exit_codes or {},
                    delete_job=request.delete_job,
                )
                job_id = await submit_task(client, submission)
        except BatchQuotaError as error:
            return self.wait_for_room(context, error, request.quota_limit)
        self.log.info("Job %r runs the command%s on pool %r.", job_id, item_of(context), request.pool_id)
        return BatchLinuxTaskTrigger(job_id=job_id, **arguments)

    async def finish(
        self,
        client: BatchLinuxClient,
        context: Context,
        trigger: BatchLinuxTrigger,
        result: dict[str, Any],
    ) -> Step:
        """Log the rest of the output of the command, and return its result; or submit it now."""
        from airflow_provider_batchlinux.client.tasks.results import (
            Reading,
            discard,
            finish_task,
            mark_read,
        )
        from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_of
        from airflow_provider_batchlinux.core.tasks.output import Progress
        from airflow_provider_batchlinux.core.tasks.task import TASK_ID

        if not isinstance(trigger, BatchLinuxTaskTrigger):
            self.continue_after_room(trigger)
            return await self.submit(client, context)
        request = self.request
        if request.secret_environment or request.secret_files:
            await delete_secrets(await secrets_of(client, result["job_id"]), storage_access())
        shown, codes = Progress.of(trigger.shown), request.exit_codes or {}
        reading = Reading(request.output_limit, request.result_file, request.delete_job, shown, codes)
        try:
            ended = await finish_task(client, result["job_id"], reading)
        except TaskFailedError as error:
            report_commands(dict(context), ["failed"])
            self.remember_ends({TASK_ID: error.exit_code or None})
            raise
        self.remember_ends({TASK_ID: ended.task.own_exit_code})
        report_commands(dict(context), ["skipped" if ended.is_skipped else "succeeded"], ended.task.seconds)
        job_id = ended.job_id
        await mark_read(client, job_id, context["ti"].try_number)
        if request.delete_job != "never":
            self.when_success_is_stored(lambda client: discard(client, job_id))
        if ended.is_skipped:
            msg = f"The command of job {ended.job_id!r} ended with exit code {ended.task.exit_code}: skipped."
            raise AirflowSkipException(msg)
        return {
            "job_id": ended.job_id,
            "exit_code": ended.task.exit_code,
            "node_id": ended.task.node_id,
            "seconds": ended.task.seconds,
            "result": ended.result,
        }

    def cancels_after(self, error: Exception, context: Context) -> bool:
        """Return whether the command is lost or timed out, or no retry follows that could adopt it."""
        return isinstance(error, (TaskFailedError, WaitTimeoutError)) or is_last_try(context)

    def contents(self) -> dict[str, bytes]:
        """Return the contents of the files that are sent with the command."""
        return {name: Path(path).read_bytes() for name, path in (self.request.files or {}).items()}

    def files_digest(self, contents: Mapping[str, bytes]) -> str | None:  # noqa: ARG002
        """Return a digest of what the files mean, for a retry; ``None`` for that of their contents."""
        return None

    async def _job(self, client: BatchLinuxClient) -> JobSpec:
        """Return the job to submit; check first what only the worker and the pool know about it."""
        from airflow_provider_batchlinux.client.tasks.jobs import require_engine
        from airflow_provider_batchlinux.core.tasks.spec.files import pack_files
        from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
        from airflow_provider_batchlinux.core.tasks.task import TASK_ID

        # Here, not where the request is read: a resumed task may be on a worker without them.
        if problems := missing_files(self.request.files):
            raise ValueError("\n".join(problems))
        request, contents = self.request, self.contents()
        task = request.task()
        command = Command(task, pack_files(contents) if contents else None, self.files_digest(contents))
        job = JobSpec(request.pool_id, {TASK_ID: command}, request.priority, request.start_limit)
        if problems := job.problems():
            raise ValueError("\n".join(problems))
        if task.container is not None:
            await require_engine(client, job.pool_id, task.container.image)
        return job
