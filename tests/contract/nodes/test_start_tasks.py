"""Start tasks: how often they are tried, who waits for them, as whom they run and what is shown of them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import BatchClient, models

COUNT = "$AZ_BATCH_NODE_SHARED_DIR/count"
THIRD_TIME = f"/bin/sh -c 'echo x >> {COUNT}; test $(wc -l < {COUNT}) = 3'"
TOOL = "$AZ_BATCH_NODE_SHARED_DIR/tool"


def _node(client: BatchClient) -> models.BatchNode:
    return next(iter(client.list_nodes("linux")))


def _output(client: BatchClient, name: str = "startup/stdout.txt") -> str:
    return b"".join(client.download_node_file("linux", _node(client).id, name)).decode()


@pytest.mark.parametrize(
    ("limit", "state", "retries"),
    [
        pytest.param(0, "starttaskfailed", 0, id="never"),
        pytest.param(1, "starttaskfailed", 1, id="too rarely"),
        pytest.param(2, "idle", 2, id="as often as needed"),
        pytest.param(-1, "idle", 2, id="without limit"),
    ],
)
def test_a_start_task_is_tried_as_often_as_its_pool_says(
    client: BatchClient, make_pool: Any, limit: int, state: str, retries: int
) -> None:
    make_pool(start_task=models.BatchStartTask(command_line=THIRD_TIME, max_task_retry_count=limit))

    node = _node(client)

    info = node.start_task_info
    assert (node.state, info.state, info.retry_count) == (state, "completed", retries)
    assert (info.failure_info is None) == (state == "idle")
    assert info.last_retry_time == (info.start_time if retries else None)
    assert info.end_time is not None
    assert info.end_time >= info.start_time


def test_a_program_that_is_not_there_is_not_tried_again(client: BatchClient, make_pool: Any) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="no-such-program", max_task_retry_count=-1))

    node = _node(client)

    assert (node.state, node.start_task_info.retry_count) == ("starttaskfailed", 0)
    assert node.start_task_info.failure_info.category == "usererror"


def test_a_node_is_idle_while_a_start_task_runs_that_is_not_waited_for(
    client: BatchClient, make_pool: Any
) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="/bin/sleep 1000", wait_for_success=False))

    node = _node(client)

    assert (node.state, node.start_task_info.state) == ("idle", "running")
    assert node.start_task_info.exit_code is None
    assert node.start_task_info.end_time is None


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        pytest.param(None, "_azbatch _azbatch PoolNonAdmin", id="left out"),
        pytest.param(
            models.AutoUserSpecification(scope="task", elevation_level="admin"),
            "_azbatchtask_start _azbatchtask_start TaskAdmin",
            id="automatic",
        ),
        pytest.param("etl", "etl etl", id="named"),
    ],
)
def test_a_start_task_has_its_user_in_its_environment(
    client: BatchClient, make_pool: Any, identity: Any, expected: str
) -> None:
    command = "/bin/sh -c 'echo $USER $AZ_BATCH_TASK_USER $AZ_BATCH_TASK_USER_IDENTITY'"
    user = None
    if isinstance(identity, str):
        user = models.UserIdentity(username=identity)
    elif identity is not None:
        user = models.UserIdentity(auto_user=identity)
    make_pool(start_task=models.BatchStartTask(command_line=command, user_identity=user))

    assert _output(client).strip() == expected


def test_programs_are_found_in_the_shared_and_the_working_directory(
    client: BatchClient, run_task: Any
) -> None:
    task = run_task(f"/bin/sh -c 'ln -s /bin/true {TOOL} && ln -s /bin/true other && tool && other'")

    assert task.execution_info.exit_code == 0


def test_a_start_task_in_a_container_shows_it(client: BatchClient, make_pool: Any) -> None:
    settings = models.BatchTaskContainerSettings(image_name="ubuntu")
    make_pool(start_task=models.BatchStartTask(command_line="/bin/true", container_settings=settings))

    container = _node(client).start_task_info.container_info

    assert (len(container.container_id), container.state) == (64, "exited")


def test_a_plain_start_task_shows_no_container(client: BatchClient, make_pool: Any) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="/bin/true"))

    assert _node(client).start_task_info.container_info is None
