"""Tasks that run on several nodes at once, as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]
_WAITS = "/bin/sleep 1000"


@pytest.fixture
def add(client: BatchClient, make_pool: Any) -> Callable[..., None]:
    """Give a function that adds a task to a job on a pool of three nodes that can speak to each other."""
    _create_job(client, make_pool(dedicated=3, enable_inter_node_communication=True))

    def add_task(coordination: str, command: str, nodes: int | None = 3, **options: Any) -> None:
        client.create_task("work", _task(coordination, command, nodes, **options))

    return add_task


def test_a_task_runs_on_its_primary_node_once_all_its_nodes_are_coordinated(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    add("/bin/sh -c 'echo coordinated > $AZ_BATCH_TASK_SHARED_DIR/mark'", "/bin/sh -c 'cat ../mark'")

    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)

    assert (task.execution_info.exit_code, task.execution_info.result) == (0, "success")
    assert task.multi_instance_settings.number_of_instances == 3
    subtasks = list(client.list_subtasks("work", "mpi"))
    assert [(subtask.id, subtask.state, subtask.exit_code) for subtask in subtasks] == [
        (1, "completed", 0),
        (2, "completed", 0),
    ]
    nodes = {task.node_info.node_id, *(subtask.node_info.node_id for subtask in subtasks)}
    assert nodes == {node.id for node in client.list_nodes("linux")}
    for subtask in subtasks:
        mark = "workitems/work/job-1/mpi/mark"
        content = client.download_node_file("linux", subtask.node_info.node_id, mark)
        assert b"".join(content) == b"coordinated\n"


def test_every_instance_knows_the_addresses_of_the_others(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    printed = "$AZ_BATCH_IS_CURRENT_NODE_MASTER $AZ_BATCH_NODE_LIST $AZ_BATCH_HOST_LIST $AZ_BATCH_MASTER_NODE"
    add(f'/bin/sh -c "echo {printed} $CCP_NODES"', "/bin/echo ran")
    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)

    addresses = [client.get_node("linux", task.node_info.node_id).ip_address]
    for subtask in client.list_subtasks("work", "mpi"):
        node_id = subtask.node_info.node_id
        addresses.append(client.get_node("linux", node_id).ip_address)
        path = f"{subtask.node_info.task_root_directory}/stdout.txt"
        assert b"".join(client.download_node_file("linux", node_id, path)).startswith(b"false ")

    primary = b"".join(client.download_task_file("work", "mpi", "stdout.txt")).decode()
    cores = " ".join(f"{address} 2" for address in addresses)
    lists = f"{';'.join(addresses)} {','.join(addresses)} {addresses[0]}:6000 3 {cores}"
    assert primary == f"true {lists}\nran\n"


def test_what_coordination_starts_in_the_background_lives_until_the_task_ends(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    started = "/bin/sleep 1000 & echo $! > $AZ_BATCH_TASK_SHARED_DIR/pid"
    add(f"/bin/sh -c '{started}'", "/bin/sh -c 'grep -qa sleep /proc/$(cat ../pid)/cmdline'", 2)

    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)

    assert task.execution_info.exit_code == 0


def test_a_subtask_that_fails_fails_the_task_after_all_its_tries(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    fails = "/bin/sh -c 'test $AZ_BATCH_IS_CURRENT_NODE_MASTER = true || exit 7'"
    limits = models.BatchTaskConstraints(max_task_retry_count=1)
    add(fails, "/bin/true", constraints=limits)

    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)

    info = task.execution_info
    assert (info.result, info.exit_code, info.retry_count) == ("failure", 7, 1)
    assert info.failure_info.code == "FailureExitCode"
    results = [subtask.result for subtask in client.list_subtasks("work", "mpi")]
    assert "failure" in results
    assert [node.state for node in client.list_nodes("linux")] == ["idle"] * 3


def test_ending_the_task_ends_what_it_runs_on_all_its_nodes(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    add(_WAITS, "true")
    eventually(lambda: client.get_task("work", "mpi").state, lambda state: state == "running")
    assert [node.state for node in client.list_nodes("linux")] == ["running"] * 3

    client.terminate_task("work", "mpi")

    assert [node.state for node in client.list_nodes("linux")] == ["idle"] * 3
    subtasks = list(client.list_subtasks("work", "mpi"))
    assert [subtask.failure_info.code for subtask in subtasks] == ["TaskEnded"] * 2


def test_a_task_that_takes_too_long_is_ended_on_all_its_nodes(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    add(_WAITS, "true", constraints=models.BatchTaskConstraints(max_wall_clock_time=timedelta(seconds=0.2)))

    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)

    assert task.execution_info.failure_info.code == "TaskEnded"


def test_the_task_restarts_when_one_of_its_nodes_is_lost(
    client: BatchClient, add: Any, eventually: Eventually, batch_emulator: RunningEmulator
) -> None:
    add(_WAITS, "true", 2)
    eventually(lambda: client.get_task("work", "mpi").state, lambda state: state == "running")
    (subtask,) = client.list_subtasks("work", "mpi")

    batch_emulator.control.set_node("linux", subtask.node_info.node_id, "unusable")

    requeued = lambda task: task.execution_info.requeue_count == 1 and task.state == "running"  # noqa: E731
    task = eventually(lambda: client.get_task("work", "mpi"), requeued)
    (other,) = client.list_subtasks("work", "mpi")
    assert subtask.node_info.node_id not in (task.node_info.node_id, other.node_info.node_id)


def test_nodes_are_kept_for_a_task_that_waits_for_several(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    for name in ("first", "second"):
        client.create_task("work", models.BatchTaskCreateOptions(id=name, command_line=_WAITS))
        eventually(lambda: client.get_task("work", name).state, lambda s: s == "running")  # noqa: B023
    add("true", _WAITS, 2)
    client.create_task("work", models.BatchTaskCreateOptions(id="behind", command_line=_WAITS))
    eventually(lambda: [node.state for node in client.list_nodes("linux")].count("idle"), lambda n: n == 1)

    client.terminate_task("work", "first")

    eventually(lambda: client.get_task("work", "mpi").state, lambda state: state == "running")
    assert client.get_task("work", "behind").state == "active"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="nodes that cannot speak to each other"),
        pytest.param(
            {"enable_inter_node_communication": True, "task_slots_per_node": 2}, id="nodes of several slots"
        ),
    ],
)
def test_a_task_of_several_instances_never_runs_on_a_pool_of(
    client: BatchClient, make_pool: Any, eventually: Eventually, options: dict[str, Any]
) -> None:
    _create_job(client, make_pool(dedicated=2, **options))
    client.create_task("work", _task("true", "true", 2))
    client.create_task("work", models.BatchTaskCreateOptions(id="behind", command_line="true"))

    eventually(lambda: client.get_task("work", "behind").state, lambda state: state == "completed")

    assert client.get_task("work", "mpi").state == "active"


def test_a_recent_task_of_a_node_tells_which_subtask_ran_there(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    add("true", "true")
    task = eventually(lambda: client.get_task("work", "mpi"), _is_completed)
    subtask = list(client.list_subtasks("work", "mpi"))[1]

    recent = [
        (recent.task_id, recent.subtask_id)
        for node_id in (task.node_info.node_id, subtask.node_info.node_id)
        for recent in client.get_node("linux", node_id).recent_tasks or ()
    ]

    assert recent == [("mpi", None), ("mpi", 2)]


def test_deleting_the_task_removes_its_files_from_all_its_nodes(
    client: BatchClient, add: Any, eventually: Eventually
) -> None:
    add("true", "true")
    eventually(lambda: client.get_task("work", "mpi"), _is_completed)
    nodes = [subtask.node_info.node_id for subtask in client.list_subtasks("work", "mpi")]

    client.delete_task("work", "mpi")

    for node_id in nodes:
        names = [file.name for file in client.list_node_files("linux", node_id, recursive=True)]
        assert [name for name in names if "mpi" in str(name)] == []


@pytest.mark.parametrize(
    ("nodes", "slots"), [pytest.param(0, 1, id="no node"), pytest.param(2, 2, id="several slots")]
)
def test_a_task_of_several_instances_is_refused_with(add: Any, nodes: int, slots: int) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        add("true", "true", nodes, required_slots=slots)

    assert (refusal.value.status_code, refusal.value.error.code) == (400, "InvalidPropertyValue")


def _is_completed(task: models.BatchTask) -> bool:
    return bool(task.state == "completed")


def _create_job(client: BatchClient, pool_id: str) -> None:
    client.create_job(
        models.BatchJobCreateOptions(id="work", pool_info=models.BatchPoolInfo(pool_id=pool_id))
    )


def _task(
    coordination: str, command: str, nodes: int | None, **options: Any
) -> models.BatchTaskCreateOptions:
    settings = models.MultiInstanceSettings(coordination_command_line=coordination, number_of_instances=nodes)
    return models.BatchTaskCreateOptions(
        id="mpi", command_line=command, multi_instance_settings=settings, **options
    )
