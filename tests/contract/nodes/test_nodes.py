"""Nodes, node counts and supported images, as the SDK sees them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator


def test_a_node_says_what_and_where_it_is(client: BatchClient, make_pool: Any) -> None:
    make_pool(spot=1, dedicated=0)

    (node,) = client.list_nodes("linux")

    assert node.id.startswith("tvmps_")
    assert node.id.endswith("_p")
    assert (node.ip_address, node.is_dedicated) == ("10.0.0.4", False)
    assert node.affinity_id == f"TVM:{node.id}"
    assert node.virtual_machine_info.image_reference.sku == "server"


def test_nodes_are_filtered_by_state_and_selected(client: BatchClient, make_pool: Any) -> None:
    make_pool(dedicated=3)

    assert len(list(client.list_nodes("linux", filter="state eq 'IDLE'", max_results=2))) == 3
    assert list(client.list_nodes("linux", filter="state ne 'idle'")) == []
    (first, *_) = client.list_nodes("linux", select=["id"])
    assert first.state is None


def test_node_counts_tell_dedicated_from_spot(client: BatchClient, make_pool: Any) -> None:
    make_pool("one", dedicated=2, spot=1)
    make_pool("two", dedicated=0)

    (counts,) = client.list_pool_node_counts(filter="poolId eq 'one'")

    assert (counts.dedicated.idle, counts.dedicated.total) == (2, 2)
    assert (counts.low_priority.idle, counts.low_priority.total) == (1, 1)
    assert len(list(client.list_pool_node_counts())) == 2


def test_supported_images_hold_current_ones_until_long_after_their_end(client: BatchClient) -> None:
    images = list(client.list_supported_images(filter="osType eq 'linux'"))

    by_sku = {(image.image_reference.offer, image.image_reference.sku): image for image in images}
    assert by_sku["ubuntu-24_04-lts", "server"].node_agent_sku_id == "batch.node.ubuntu 24.04"
    assert by_sku["0001-com-ubuntu-server-jammy", "22_04-lts"].batch_support_end_of_life
    assert ("0001-com-ubuntu-server-focal", "20_04-lts") not in by_sku
    assert {image.os_type for image in images} == {"linux"}


def test_a_start_task_runs_before_the_node_is_idle(client: BatchClient, make_pool: Any) -> None:
    command = "/bin/sh -c 'echo $GREETING from $AZ_BATCH_POOL_ID; echo bad >&2'"
    settings = [models.EnvironmentSetting(name="GREETING", value="hello")]
    make_pool(start_task=models.BatchStartTask(command_line=command, environment_settings=settings))

    (node,) = client.list_nodes("linux")

    assert node.start_task_info.exit_code == 0
    assert node.start_task_info.result == "success"
    assert _read(client, node.id, "startup/stdout.txt") == "hello from linux\n"
    assert _read(client, node.id, "startup/stderr.txt") == "bad\n"


def test_a_failing_start_task_is_retried_and_then_fails_its_node(client: BatchClient, make_pool: Any) -> None:
    command = "/bin/sh -c 'echo again >> count; exit 3'"
    make_pool(start_task=models.BatchStartTask(command_line=command, max_task_retry_count=2))

    (node,) = client.list_nodes("linux", filter="startTaskInfo/exitCode eq 3")

    assert node.state == "starttaskfailed"
    assert node.start_task_info.retry_count == 2
    assert node.start_task_info.failure_info.code == "FailureExitCode"
    assert _read(client, node.id, "startup/wd/count") == "again\n" * 3


def test_a_start_task_that_is_not_waited_for_fails_no_node(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="/bin/false", wait_for_success=False))

    def node() -> models.BatchNode:
        return next(iter(client.list_nodes("linux")))

    ended = eventually(node, lambda found: found.start_task_info.state == "completed")
    assert (ended.state, ended.start_task_info.result) == ("idle", "failure")


def test_a_start_task_that_does_not_exist_says_so(client: BatchClient, make_pool: Any) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="no-such-program"))

    (node,) = client.list_nodes("linux")

    assert node.state == "starttaskfailed"
    assert node.start_task_info.failure_info.code == "CommandProgramNotFound"
    assert node.start_task_info.exit_code is None


def test_programs_see_nothing_of_the_environment_of_the_emulator(
    client: BatchClient, make_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_EMULATOR", "x")
    make_pool(start_task=models.BatchStartTask(command_line="/usr/bin/env"))

    (node,) = client.list_nodes("linux")
    names = {line.split("=")[0] for line in _read(client, node.id, "startup/stdout.txt").split()}

    assert "SECRET_OF_THE_EMULATOR" not in names
    assert {name for name in names if not name.startswith("AZ_BATCH_")} <= {"PATH", "HOME", "PWD", "USER"}


@pytest.mark.parametrize("action", ["reboot", "reimage"])
def test_a_restarted_node_runs_its_start_task_again(
    client: BatchClient, make_pool: Any, eventually: Any, action: str
) -> None:
    command = "/bin/sh -c 'echo x >> $AZ_BATCH_NODE_SHARED_DIR/boots'"
    make_pool(start_task=models.BatchStartTask(command_line=command))
    (before,) = client.list_nodes("linux")

    restart = getattr(client, f"begin_{action}_node")
    options = {f"node{action.title()}Option": "requeue"}
    restart("linux", before.id, options, polling_interval=0).result()
    after = eventually(
        lambda: client.get_node("linux", before.id),
        lambda node: node.state == "idle" and node.last_boot_time > before.last_boot_time,
    )

    assert after.id == before.id
    boots = {"reboot": 2, "reimage": 1}[action]
    assert _read(client, after.id, "shared/boots") == "x\n" * boots


def test_a_node_that_is_forced_down_refuses_what_needs_it_up(
    client: BatchClient, batch_emulator: RunningEmulator, make_pool: Any
) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")
    errors = [{"code": "DiskFull", "message": "no space", "errorDetails": []}]
    batch_emulator.control.set_node("linux", node.id, "unusable", errors)

    with pytest.raises(HttpResponseError) as refusal:
        client.create_node_user("linux", node.id, models.BatchNodeUserCreateOptions(name="etl"))

    assert refusal.value.error.code == "NodeStateUnusable"
    assert client.get_node("linux", node.id).errors[0].code == "DiskFull"


def test_a_preempted_node_comes_back_under_its_id(
    client: BatchClient, batch_emulator: RunningEmulator, make_pool: Any, eventually: Any
) -> None:
    make_pool(dedicated=0, spot=1)
    (node,) = client.list_nodes("linux")
    batch_emulator.control.set_node("linux", node.id, "preempted")
    assert client.get_node("linux", node.id).state == "preempted"

    batch_emulator.control.set_node("linux", node.id, "creating")

    eventually(lambda: client.get_node("linux", node.id).state, lambda state: state == "idle")


def test_a_node_without_scheduling_is_offline(client: BatchClient, make_pool: Any) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")

    client.disable_node_scheduling("linux", node.id, {"nodeDisableSchedulingOption": "requeue"})
    assert client.get_node("linux", node.id).state == "offline"

    client.enable_node_scheduling("linux", node.id)
    assert client.get_node("linux", node.id).state == "idle"


def test_an_unknown_node_is_not_found(client: BatchClient, make_pool: Any) -> None:
    make_pool()

    with pytest.raises(HttpResponseError) as refusal:
        client.get_node("linux", "missing")

    assert (refusal.value.status_code, refusal.value.error.code) == (404, "NodeNotFound")


def _read(client: BatchClient, node_id: str, name: str) -> str:
    return b"".join(client.download_node_file("linux", node_id, name)).decode()
