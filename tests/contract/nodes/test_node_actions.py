"""Actions on nodes, and their effect on the tasks there, as the SDK sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator

Wait = Callable[..., Any]
GATE_ACTIONS = ["reboot", "reimage", "deallocate"]


class BusyNode:
    """A node with a task that ends once its gate is opened."""

    def __init__(self, client: BatchClient, node_id: str, gate: Path) -> None:
        self.client, self.id, self.gate = client, node_id, gate

    @property
    def state(self) -> str:
        return models.BatchNodeState(self.client.get_node("linux", self.id).state).value

    @property
    def task(self) -> models.BatchTask:
        return self.client.get_task("job", "task")

    def act(self, action: str, option: str) -> None:
        options = {f"node{action.title()}Option": option}
        getattr(self.client, f"begin_{action}_node")("linux", self.id, options)


@pytest.fixture
def busy(client: BatchClient, make_pool: Any, eventually: Wait, tmp_path: Path) -> Iterator[BusyNode]:
    make_pool()
    (node,) = client.list_nodes("linux")
    pool_info = models.BatchPoolInfo(pool_id="linux")
    client.create_job(models.BatchJobCreateOptions(id="job", pool_info=pool_info))
    gate = tmp_path / "open"
    command = f"/bin/sh -c 'while [ ! -e {gate} ]; do sleep 0.02; done'"
    client.create_task("job", models.BatchTaskCreateOptions(id="task", command_line=command))
    eventually(lambda: client.get_task("job", "task").state, lambda state: state == "running")
    yield BusyNode(client, node.id, gate)
    gate.touch()


def test_a_deallocated_node_stays_until_it_is_started(
    client: BatchClient, make_pool: Any, eventually: Wait
) -> None:
    make_pool(
        start_task=models.BatchStartTask(command_line="/bin/sh -c 'echo x >> $AZ_BATCH_NODE_SHARED_DIR/n'")
    )
    (node,) = client.list_nodes("linux")

    client.begin_deallocate_node(
        "linux", node.id, {"nodeDeallocateOption": "requeue"}, polling_interval=0
    ).result()

    assert client.get_node("linux", node.id).state == "deallocated"
    (counts,) = client.list_pool_node_counts()
    assert (counts.dedicated.deallocated, counts.dedicated.total) == (1, 1)
    client.begin_start_node("linux", node.id, polling_interval=0).result()
    eventually(lambda: client.get_node("linux", node.id).state, lambda state: state == "idle")
    assert b"".join(client.download_node_file("linux", node.id, "shared/n")) == b"x\nx\n"


def test_only_a_deallocated_node_is_started(client: BatchClient, make_pool: Any) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")

    with pytest.raises(HttpResponseError) as refusal:
        client.begin_start_node("linux", node.id)

    assert (refusal.value.status_code, refusal.value.error.code) == (409, "OperationInvalidForCurrentState")


@pytest.mark.parametrize("action", GATE_ACTIONS)
def test_an_action_by_default_lets_tasks_run_elsewhere_or_later(
    busy: BusyNode, eventually: Wait, action: str
) -> None:
    busy.act(action, "requeue")

    eventually(lambda: busy.task.execution_info.requeue_count, lambda count: count == 1)
    assert busy.task.state != "completed"


@pytest.mark.parametrize("action", GATE_ACTIONS)
def test_an_action_can_end_the_tasks(busy: BusyNode, eventually: Wait, action: str) -> None:
    busy.act(action, "terminate")

    assert busy.task.state == "completed"
    assert busy.task.execution_info.failure_info.code == "TaskEnded"
    eventually(lambda: busy.state, lambda state: state in ("idle", "deallocated"))


@pytest.mark.parametrize("option", ["taskcompletion", "retaineddata"])
def test_an_action_can_wait_for_the_tasks_and_lets_no_new_ones_come(
    busy: BusyNode, client: BatchClient, eventually: Wait, option: str
) -> None:
    busy.act("deallocate", option)
    client.create_task("job", models.BatchTaskCreateOptions(id="late", command_line="/bin/true"))

    assert (busy.state, busy.task.state) == ("running", "running")
    busy.gate.touch()
    eventually(lambda: busy.state, lambda state: state == "deallocated")
    assert busy.task.execution_info.result == "success"
    assert client.get_task("job", "late").state == "active"


def test_a_later_action_takes_the_place_of_one_that_waits(busy: BusyNode, eventually: Wait) -> None:
    busy.act("deallocate", "taskcompletion")
    busy.act("reboot", "terminate")

    eventually(lambda: busy.state, lambda state: state == "idle")


def test_a_preempted_node_forgets_what_waited_for_its_tasks(
    busy: BusyNode, batch_emulator: RunningEmulator, eventually: Wait
) -> None:
    busy.act("deallocate", "taskcompletion")
    batch_emulator.control.set_node("linux", busy.id, "preempted")
    batch_emulator.control.set_node("linux", busy.id, "creating")

    eventually(lambda: busy.task.state, lambda state: state == "running")


@pytest.mark.parametrize(
    ("option", "task_state"),
    [
        pytest.param("requeue", "active", id="requeue"),
        pytest.param("terminate", "completed", id="terminate"),
        pytest.param("taskcompletion", "running", id="taskcompletion"),
    ],
)
def test_a_node_becomes_offline_by_each_option(
    busy: BusyNode, client: BatchClient, eventually: Wait, option: str, task_state: str
) -> None:
    client.disable_node_scheduling("linux", busy.id, {"nodeDisableSchedulingOption": option})

    assert busy.task.state == task_state
    busy.gate.touch()
    eventually(lambda: busy.state, lambda state: state == "offline")


def test_a_node_shows_its_recent_tasks(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/true", "first")
    run_task("/bin/false", "second")

    (node,) = client.list_nodes("workers")

    assert [(task.task_id, task.task_state) for task in node.recent_tasks] == [
        ("second", "completed"),
        ("first", "completed"),
    ]
    assert node.recent_tasks[0].execution_info.exit_code == 1
    assert node.recent_tasks[0].task_url.endswith("/jobs/job/tasks/second")


def test_a_node_that_ran_nothing_shows_no_recent_tasks(client: BatchClient, make_pool: Any) -> None:
    make_pool()

    (node,) = client.list_nodes("linux")

    assert node.recent_tasks is None
