"""Which task runs where and when, as the SDK sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models

from airflow_provider_batchlinux.emulator import RunningEmulator

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]
_WAITS = "/bin/sleep 1000"


def test_a_running_task_makes_room_for_one_of_a_higher_priority_if_its_job_lets_it(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    _create_job(client, "low", make_pool(), allow_task_preemption=True)
    _add(client, "low")
    eventually(lambda: _state(client, "low"), lambda state: state == "running")
    _create_job(client, "high", "linux", priority=1)

    _add(client, "high")

    eventually(lambda: _state(client, "high"), lambda state: state == "running")
    task = client.get_task("low", "task")
    assert (task.state, task.execution_info.requeue_count) == ("active", 1)


@pytest.mark.parametrize(
    ("priority", "allows"),
    [pytest.param(1, False, id="one that does not let it"), pytest.param(0, True, id="an equal one")],
)
def test_a_running_task_stays_for_that_of_another_job_against(
    client: BatchClient, make_pool: Any, eventually: Eventually, priority: int, allows: bool
) -> None:
    _create_job(client, "first", make_pool(), allow_task_preemption=allows)
    _add(client, "first")
    eventually(lambda: _state(client, "first"), lambda state: state == "running")
    _create_job(client, "second", "linux", priority=priority)

    _add(client, "second")

    client.terminate_task("first", "task")
    eventually(lambda: _state(client, "second"), lambda state: state == "running")
    assert client.get_task("first", "task").execution_info.requeue_count == 0


@pytest.mark.parametrize(
    ("fill", "used"), [pytest.param("pack", [0, 2], id="pack"), pytest.param("spread", [1, 1], id="spread")]
)
def test_a_pool_fills_its_nodes_by_its_fill_type(
    client: BatchClient, make_pool: Any, eventually: Eventually, fill: str, used: list[int]
) -> None:
    policy = models.BatchTaskSchedulingPolicy(node_fill_type=fill)
    pool = make_pool(dedicated=2, task_slots_per_node=2, task_scheduling_policy=policy)
    _create_job(client, "work", pool)

    for name in ("a", "b"):
        _add(client, "work", name)
        eventually(lambda: _state(client, "work", name), lambda state: state == "running")  # noqa: B023

    assert sorted(node.running_tasks_count or 0 for node in client.list_nodes("linux")) == used


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param("none", {"older": 2, "younger": 2}, id="equal shares"),
        pytest.param("creationtime", {"older": 3, "younger": 1}, id="the oldest first"),
    ],
)
def test_jobs_of_equal_priority_run_in_the_order_of_the_pool(
    client: BatchClient, make_pool: Any, eventually: Eventually, order: str, expected: dict[str, int]
) -> None:
    policy = models.BatchTaskSchedulingPolicy(node_fill_type="spread", job_default_order=order)
    make_pool(dedicated=0, task_slots_per_node=4, task_scheduling_policy=policy)
    for job_id in ("older", "younger"):
        _create_job(client, job_id, "linux")
        for number in range(3):
            _add(client, job_id, f"task-{number}")

    client.begin_resize_pool(
        "linux", models.BatchPoolResizeOptions(target_dedicated_nodes=1), polling_interval=0
    )

    def running() -> dict[str, int]:
        counts = {job_id: client.get_job_task_counts(job_id).task_counts for job_id in expected}
        return {job_id: count.running for job_id, count in counts.items()}

    eventually(running, lambda found: sum(found.values()) == 4)
    assert running() == expected


def test_a_slot_that_is_freed_goes_to_the_job_that_runs_fewest_tasks(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    make_pool(task_slots_per_node=3)
    for job_id, names in (("older", "ab"), ("younger", "a")):
        _create_job(client, job_id, "linux")
        for name in names:
            _add(client, job_id, name)
            eventually(lambda: _state(client, job_id, name), lambda state: state == "running")  # noqa: B023
    for job_id in ("older", "younger"):
        _add(client, job_id, "next")

    client.terminate_task("younger", "a")

    eventually(lambda: _state(client, "younger", "next"), lambda state: state == "running")
    assert _state(client, "older", "next") == "active"


def test_a_job_manager_that_shuns_spot_nodes_waits_where_there_are_no_others(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line=_WAITS, allow_low_priority_node=False)
    _create_job(client, "work", make_pool(dedicated=0, spot=1), job_manager_task=manager)

    _add(client, "work", command="true")

    eventually(lambda: _state(client, "work"), lambda state: state == "completed")
    assert _state(client, "work", "manager") == "active"


def test_a_task_runs_on_the_node_of_its_affinity_if_that_is_free(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    _create_job(client, "work", make_pool(dedicated=3))
    wished = list(client.list_nodes("linux"))[2]
    affinity = models.BatchAffinityInfo(affinity_id=str(wished.affinity_id))

    for name in ("first", "second"):
        _add(client, "work", name, affinity_info=affinity)
        eventually(lambda: _state(client, "work", name), lambda state: state == "running")  # noqa: B023

    assert client.get_task("work", "first").node_info.node_id == wished.id
    assert client.get_task("work", "second").node_info.node_id != wished.id


def test_a_task_that_needs_more_slots_than_any_node_has_never_runs(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    _create_job(client, "work", make_pool(task_slots_per_node=2))
    _add(client, "work", "large", required_slots=3)
    _add(client, "work", "small", "true")

    eventually(lambda: _state(client, "work", "small"), lambda state: state == "completed")

    assert _state(client, "work", "large") == "active"
    counts = client.get_job_task_counts("work").task_slot_counts
    assert (counts.active, counts.completed, counts.succeeded) == (3, 1, 1)


def test_a_job_manager_runs_alone_on_its_node_and_avoids_spot_nodes_if_requested(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line=_WAITS, allow_low_priority_node=False)
    make_pool(dedicated=1, spot=1, task_slots_per_node=3)
    _create_job(client, "work", "linux", job_manager_task=manager)
    eventually(lambda: _state(client, "work", "manager"), lambda state: state == "running")

    for number in range(4):
        _add(client, "work", f"task-{number}")

    eventually(lambda: client.get_job_task_counts("work").task_counts.running, lambda running: running == 4)
    own = client.get_node("linux", str(client.get_task("work", "manager").node_info.node_id))
    assert (own.is_dedicated, own.running_tasks_count, own.running_task_slots_count) == (True, 1, 1)


def test_a_job_manager_that_shares_takes_a_slot_like_any_task(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line=_WAITS, run_exclusive=False)
    _create_job(client, "work", make_pool(task_slots_per_node=2), job_manager_task=manager)
    _add(client, "work")

    eventually(lambda: _state(client, "work"), lambda state: state == "running")

    assert _state(client, "work", "manager") == "running"


def test_a_job_manager_that_lost_its_node_runs_before_the_tasks_of_its_job(
    client: BatchClient, make_pool: Any, eventually: Eventually, batch_emulator: RunningEmulator
) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line=_WAITS)
    _create_job(client, "work", make_pool(), job_manager_task=manager)
    eventually(lambda: _state(client, "work", "manager"), lambda state: state == "running")
    _add(client, "work")

    node_id = str(client.get_task("work", "manager").node_info.node_id)
    batch_emulator.control.set_node("linux", node_id, "rebooting")

    eventually(lambda: client.get_task("work", "manager"), _has_run_again)
    assert _state(client, "work") == "active"


def test_a_container_is_refused_by_a_pool_without_containers_when_the_task_starts(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    _create_job(client, "work", make_pool())
    settings = models.BatchTaskContainerSettings(image_name="busybox")

    _add(client, "work", command="true", container_settings=settings)

    task = eventually(lambda: client.get_task("work", "task"), lambda t: t.state == "completed")
    failure = task.execution_info.failure_info
    assert (failure.category, failure.code) == ("usererror", "ContainerPoolNotSupported")


def test_a_command_in_a_container_runs_as_a_process(client: BatchClient, eventually: Eventually) -> None:
    containers = models.BatchContainerConfiguration(type="dockerCompatible")
    machine = models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2404"
        ),
        node_agent_sku_id="batch.node.ubuntu 24.04",
        container_configuration=containers,
    )
    pool = models.BatchPoolCreateOptions(
        id="linux",
        vm_size="standard_d2s_v5",
        virtual_machine_configuration=machine,
        target_dedicated_nodes=1,
    )
    client.create_pool(pool)
    _create_job(client, "work", "linux")
    settings = models.BatchTaskContainerSettings(image_name="busybox")

    _add(client, "work", command="true", container_settings=settings)

    task = eventually(lambda: client.get_task("work", "task"), lambda t: t.state == "completed")
    info = task.execution_info
    assert (info.exit_code, info.container_info.state) == (0, "exited")
    assert len(info.container_info.container_id) == 64


def _has_run_again(task: models.BatchTask) -> bool:
    info = task.execution_info
    return task.state == "running" and info is not None and info.requeue_count == 1


def _create_job(client: BatchClient, job_id: str, pool_id: str, **options: Any) -> None:
    pool = models.BatchPoolInfo(pool_id=pool_id)
    client.create_job(models.BatchJobCreateOptions(id=job_id, pool_info=pool, **options))


def _add(client: BatchClient, job_id: str, task_id: str = "task", command: str = _WAITS, **more: Any) -> None:
    client.create_task(job_id, models.BatchTaskCreateOptions(id=task_id, command_line=command, **more))


def _state(client: BatchClient, job_id: str, task_id: str = "task") -> Any:
    return client.get_task(job_id, task_id).state
