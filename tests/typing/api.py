"""A user's Dag file with every public class in it: type checkers read it, nothing runs it."""
# mypy: disallow-untyped-defs, disallow-incomplete-defs, disallow-untyped-calls

from __future__ import annotations

from datetime import datetime, timedelta

import pendulum
from airflow.providers.sftp.operators.sftp import SFTPOperator
from airflow.providers.ssh.operators.ssh import SSHOperator
from airflow.sdk import DAG, BaseOperator, Context, task

from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_cmd_task, batch_linux_task
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchConflictError,
    BatchLinuxError,
    BatchQuotaError,
    BatchRequestError,
    BatchUnreachableError,
    ImageEndOfSupportError,
    NodeCommandError,
    NodeUsersError,
    PoolNotReadyError,
    TaskFailedError,
    TaskFailedForGoodError,
    WaitTimeoutError,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook, BatchLinuxSession
from airflow_provider_batchlinux.hooks.node_sftp import BatchLinuxNodeSFTPHook
from airflow_provider_batchlinux.hooks.node_ssh import BatchLinuxNodeSSHHook
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import (
    BatchLinuxJobLink,
    BatchLinuxNodeLink,
    BatchLinuxPoolLink,
    BatchLinuxPortalLink,
)
from airflow_provider_batchlinux.operators.images import BatchLinuxCheckImagesOperator
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.node_ssh import BatchLinuxRunOnNodesOperator
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxAuditNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.nodes import (
    BatchLinuxDeallocateNodesOperator,
    BatchLinuxRebootNodesOperator,
    BatchLinuxReimageNodesOperator,
    BatchLinuxStartNodesOperator,
    BatchLinuxUploadNodeLogsOperator,
)
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.pool_size import (
    BatchLinuxDisableAutoscaleOperator,
    BatchLinuxEnableAutoscaleOperator,
    BatchLinuxResizePoolOperator,
)
from airflow_provider_batchlinux.operators.sweeper import (
    BatchLinuxExtendPoolOperator,
    BatchLinuxSweepPoolsOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.job import BatchLinuxJobSensor
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolGoneSensor, BatchLinuxPoolSteadySensor
from airflow_provider_batchlinux.specs import (
    AutoscaleSpec,
    EndpointSpec,
    KeyDestination,
    NetworkSpec,
    RepairSpec,
    TaskSpec,
    UserAccountSpec,
    zero_when_idle,
)
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool
from airflow_provider_batchlinux.triggers.job import BatchLinuxJobOutcomeTrigger, BatchLinuxJobTrigger
from airflow_provider_batchlinux.triggers.node_actions import BatchLinuxNodesActedTrigger
from airflow_provider_batchlinux.triggers.node_users import BatchLinuxNodesForUserTrigger
from airflow_provider_batchlinux.triggers.node_users_lease import BatchLinuxNodeUsersLeaseTrigger
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger
from airflow_provider_batchlinux.triggers.pool import (
    BatchLinuxPoolGoneTrigger,
    BatchLinuxPoolResizedTrigger,
    BatchLinuxPoolSteadyTrigger,
)
from airflow_provider_batchlinux.triggers.room import BatchLinuxRoomTrigger
from airflow_provider_batchlinux.triggers.task import BatchLinuxTaskTrigger


class OwnOperator(BaseOperator):
    """An operator of the user's own that waits by the provider's triggers."""

    operator_extra_links: tuple[BatchLinuxPortalLink | BatchLinuxPoolPageLink, ...] = (
        BatchLinuxPoolPageLink(),
        BatchLinuxPoolLink(),
        BatchLinuxJobLink(),
        BatchLinuxNodeLink(),
    )
    job_over = BatchLinuxJobTrigger(
        pool_id="etl", job_id="job", batch_linux_conn_id="batch", poll_interval=15
    )
    job_elsewhere_over = BatchLinuxJobOutcomeTrigger(
        job_id="job", max_failed="5%", batch_linux_conn_id="batch", poll_interval=15
    )

    def execute(self, context: Context) -> None:
        nodes_idle = BatchLinuxNodesIdleTrigger(
            pool_id="etl", batch_linux_conn_id="batch", poll_interval=30, policy={"allow_empty": True}
        )
        pool_gone = BatchLinuxPoolGoneTrigger(pool_id="etl", batch_linux_conn_id="batch", poll_interval=10.5)
        task_over = BatchLinuxTaskTrigger(
            pool_id="etl",
            job_id="job",
            batch_linux_conn_id="batch",
            poll_interval=15,
            delete_job="on_success",
        )
        lease_over = BatchLinuxNodeUsersLeaseTrigger(
            pool_id="etl",
            username="etl",
            until=1893456000.0,
            by={"dag_id": "etl", "run_id": "today"},
            batch_linux_conn_id="batch",
            poll_interval=30,
            password_conn_id="ops",
            until_task_ids=["work"],
        )
        room = BatchLinuxRoomTrigger(kind="jobs", batch_linux_conn_id="batch", poll_interval=15)
        steady = BatchLinuxPoolSteadyTrigger(pool_id="etl", batch_linux_conn_id="batch", poll_interval=10)
        resized = BatchLinuxPoolResizedTrigger(
            pool_id="etl",
            resize={"dedicated_nodes": 2},
            asked=True,
            requested_at="2026-01-02T03:04:05Z",
            batch_linux_conn_id="batch",
            poll_interval=10,
        )
        self.log.info("%s: %s, %s", context["run_id"], pool_gone.serialize(), task_over.serialize())
        for_user = BatchLinuxNodesForUserTrigger(
            pool_id="etl", batch_linux_conn_id="batch", poll_interval=10, where="startTaskInfo/exitCode eq 7"
        )
        acted = BatchLinuxNodesActedTrigger(
            pool_id="etl",
            action="reboot",
            node_ids=["tvm-1"],
            since=None,
            batch_linux_conn_id="batch",
            poll_interval=10,
        )
        more = (steady, resized, acted, for_user, lease_over, room)
        self.log.info("%s", [trigger.serialize() for trigger in more])
        self.defer(trigger=nodes_idle, method_name="execute_complete")


def pools_there(session: BatchLinuxSession, pool_ids: list[str]) -> list[bool]:
    """Ask several times over one client."""

    def is_there(pool_id: str) -> bool:
        return session.run(lambda client: client.find_pool(pool_id)) is not None

    return [is_there(pool_id) for pool_id in pool_ids]


async def count_idle(hook: BatchLinuxHook, pool_id: str) -> int:
    """Ask by the asynchronous client."""
    async with hook.client() as client:
        counts: dict[str, int] = await client.node_counts(pool_id)
    return counts.get("idle", 0)


def explain(error: BatchLinuxError) -> str:
    """Tell the errors apart."""
    match error:
        case BatchAuthenticationError() | BatchQuotaError() | BatchConflictError():
            return f"refused for good: {error.code}"
        case BatchRequestError(code=str(code), request_id=str(request_id)):
            return f"{code}, request {request_id}"
        case TaskFailedForGoodError():
            return "not retried"
        case TaskFailedError(exit_code=int(code)):
            return f"exit code {code + 0} on {error.node_id}"
        case NodeCommandError(failed=[node_id, *_]):
            return f"exit code {error.exit_codes[node_id]} on {node_id}"
        case NodeUsersError():
            return ", ".join(error.failed)
        case PoolNotReadyError():
            return error.pool_id
        case ImageEndOfSupportError(pool_ids=[pool_id, *_]):
            return f"replace {pool_id}"
        case BatchUnreachableError() | WaitTimeoutError():
            return "later"
        case _:
            return str(error)


@task
def report(pool_id: str) -> list[str]:
    """Ask by the hook's plain methods."""
    hook = BatchLinuxHook("batch", retry_budget=60)
    try:
        reached, message = hook.test_connection()
        images: list[str] = [image.sku for image in hook.list_images()]
        pool = hook.find_pool(pool_id)
        return [message, *images, *(node.node_id for node in hook.list_nodes(pool_id) if reached and pool)]
    except BatchLinuxError as error:
        return [explain(error)]


with DAG("typed", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1)):
    create = BatchLinuxCreatePoolOperator(
        task_id="create_pool",
        pool_id="etl-{{ run_id }}",
        image={"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        spot_nodes=2,
        start_task="apt-get install --yes jq",
        start_task_elevated=True,
        ssh_from=["203.0.113.0/24"],
        metadata={"team": "etl"},
        autoscale=AutoscaleSpec(zero_when_idle(spot=2), interval=timedelta(minutes=10)),
        network=NetworkSpec(
            endpoints=[EndpointSpec("ui", 8080, 30_000, 30_099), {"name": "api", "port": 81}]
        ),
        user_accounts=[UserAccountSpec("etl", "{{ conn.etl.password }}"), {"name": "x", "password": "y"}],
        resize_timeout=timedelta(minutes=10),
        expires_in=pendulum.duration(hours=6),
        deletion_limit=600,
        retries=2,
    )
    # Airflow declares `output` as the base class, which has no index.
    pool_id: str = create.output["pool_id"]  # type: ignore[index]
    ready = BatchLinuxNodesIdleSensor(
        task_id="nodes_idle", pool_id=pool_id, deferrable=True, poke_interval=timedelta(seconds=30)
    )
    enough = BatchLinuxNodesIdleSensor(
        task_id="enough",
        pool_id=pool_id,
        ready="80%",
        running_is_ready=True,
        spot_optional=True,
        max_failed_nodes=1,
        allocation_limit=timedelta(minutes=20),
        boot_limit=pendulum.duration(minutes=10),
        resize_error_limit=600,
        requested_at="{{ dag_run.start_date.isoformat() }}",
        repair=RepairSpec(reboots=2, replace_unusable=True, when_exhausted="resize_to_zero"),
        on_timeout="delete_pool",
    )
    some = BatchLinuxNodesIdleSensor(task_id="some", pool_id=pool_id, ready=2, repair={"reboots": 1})
    by_span = BatchLinuxAddNodeUsersOperator(
        task_id="add_etl",
        pool_id=pool_id,
        username="etl",
        ssh_public_key="{{ var.value.key }}",
        expires_in=pendulum.duration(days=1),
    )
    by_instant = BatchLinuxAddNodeUsersOperator(
        task_id="add_ops",
        pool_id=pool_id,
        username="ops",
        password="{{ conn.ops.password }}",
        expires_at=datetime(2030, 1, 1, tzinfo=pendulum.UTC),
        is_admin=True,
        recreate=True,
        generate_key=KeyDestination("/run/keys/ops", overwrite=True),
        address="private",
        states=["starttaskfailed"],
        max_failed_nodes="5%",
        timeout=pendulum.duration(minutes=20),
    )
    work = BatchLinuxTaskOperator(
        task_id="work",
        pool_id=pool_id,
        command="bash transform.sh",
        environment={"DAY": "{{ run_id }}"},
        files={"transform.sh": "/opt/transform.sh"},
        result_file="result.json",
        time_limit=pendulum.duration(hours=1),
        delete_job="never",
        execution_timeout=timedelta(hours=2),
    )
    mapped = BatchLinuxTaskOperator.partial(task_id="mapped", pool_id=pool_id).expand(command=["date", "id"])
    remove = BatchLinuxRemoveNodeUsersOperator(
        task_id="remove_users", pool_id=pool_id, username="etl", take_over=True
    )
    BatchLinuxLeaseNodeUsersOperator(
        task_id="lease",
        pool_id=pool_id,
        username="etl",
        expires_in=timedelta(hours=2),
        until_task_ids=["work"],
        address="private",
        generate_key="/run/keys/{{ run_id }}",
    )
    ssh_hook = BatchLinuxNodeSSHHook(pool_id, expires_in=timedelta(minutes=10), cmd_timeout=60)
    SSHOperator(task_id="look", ssh_hook=ssh_hook, command="uptime")
    SFTPOperator(
        task_id="put",
        sftp_hook=BatchLinuxNodeSFTPHook(pool_id, "tvm-1", address="private"),
        local_filepath="/opt/here",
        remote_filepath="there",
    )
    BatchLinuxRunOnNodesOperator(
        task_id="diagnose",
        pool_id=pool_id,
        command="df -h",
        timeout=pendulum.duration(minutes=2),
        max_failed_nodes="5%",
    )
    BatchLinuxJobOperator(
        task_id="many",
        pool_id=pool_id,
        tasks=["true", {"command": "true", "id": "a"}, TaskSpec("true", exit_codes={3: "skip"})],
        max_failed="5%",
    )
    BatchLinuxCheckImagesOperator(
        task_id="images", pool_ids=[pool_id], warn_before=timedelta(weeks=4), on_ending="warn"
    )
    BatchLinuxResizePoolOperator(
        task_id="resize",
        pool_id=pool_id,
        spot_nodes=4,
        running_tasks="taskcompletion",
        accept_partial=True,
        stop_on_kill=False,
    )
    formula = "$TargetDedicatedNodes = 1;"
    BatchLinuxEnableAutoscaleOperator(
        task_id="scale", pool_id=pool_id, formula=formula, interval=timedelta(minutes=5)
    )
    BatchLinuxDisableAutoscaleOperator(task_id="no_scale", pool_id=pool_id)
    BatchLinuxExtendPoolOperator(task_id="extend", pool_id=pool_id, expires_in=timedelta(hours=8))
    BatchLinuxRebootNodesOperator(task_id="reboot", pool_id=pool_id, states=["starttaskfailed"])
    BatchLinuxReimageNodesOperator(task_id="reimage", pool_id=pool_id, node_ids=["tvm-1"], wait=False)
    BatchLinuxDeallocateNodesOperator(task_id="sleep", pool_id=pool_id, running_tasks="taskcompletion")
    BatchLinuxStartNodesOperator(task_id="wake", pool_id=pool_id, timeout=timedelta(minutes=20))
    BatchLinuxUploadNodeLogsOperator(task_id="logs", pool_id=pool_id, container="abfs://logs", since=3600)
    BatchLinuxPoolSteadySensor(task_id="steady", pool_id=pool_id, deferrable=True, mode="reschedule")
    BatchLinuxPoolGoneSensor(task_id="gone", pool_id=pool_id, timeout=600)
    BatchLinuxJobSensor(task_id="rendered", job_id="render", max_failed="5%", allow_empty=True, timeout=600)
    BatchLinuxJobSensor(task_id="main", job_id="render", batch_task_id="main", deferrable=True)
    BatchLinuxSweepPoolsOperator(
        task_id="sweep", delete="{{ params.delete }}", ended_runs=False, installations=["old"]
    )
    BatchLinuxAuditNodeUsersOperator(task_id="audit", pool_ids=[pool_id], revoke="{{ params.revoke }}")
    delete = BatchLinuxDeletePoolOperator(
        task_id="delete_pool",
        pool_id=pool_id,
        keep_on_failure=pendulum.duration(hours=8),
        force="{{ params.force }}",
        timeout=3600,
    )
    with BatchLinuxPool(
        "nodes", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=2, ready="80%"
    ) as pool:
        BatchLinuxTaskOperator(task_id="work", pool_id=pool.pool_id, command="true")

        @batch_linux_task(pool_id=pool.pool_id, requirements=["polars"], deferrable=True)
        def double(number: int) -> int:
            return 2 * number

        @batch_linux_cmd_task(pool_id=pool.pool_id)
        def echo(text: str) -> str:
            return f"echo {text}"

        echo("done") << double(21)
    create >> ready >> [by_span, by_instant] >> work >> mapped >> report(pool_id) >> remove
    remove.as_teardown(setups=by_span) >> delete.as_teardown(setups=create)
