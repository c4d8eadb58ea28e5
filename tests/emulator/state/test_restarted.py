"""What goes on after a restart: nodes, pools, users, schedules, and time itself."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from azure.batch import models

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator

SLEEP = "/bin/sleep 1000"


@contextmanager
def by_hand(state: Path, account_of: Any) -> Any:
    """Serve from a state file with a clock that is moved by hand."""
    with run_emulator(EmulatorOptions(state=state, clock="manual")) as emulator:
        yield account_of(emulator)


def test_users_log_in_again_to_the_same_node(service: Any, ssh_network: Any, tmp_path: Path) -> None:
    (node,) = service.make_pool(network_configuration=ssh_network)
    key = asyncssh.generate_private_key("ssh-ed25519")
    public_key = key.export_public_key().decode()
    with service.client as client:
        for name in ("etl", "gone"):
            client.create_node_user(
                "linux", node.id, models.BatchNodeUserCreateOptions(name=name, ssh_public_key=public_key)
            )
        client.delete_node_user("linux", node.id, "gone")
        login = client.get_node_remote_login_settings("linux", node.id)
    port = login.remote_login_port
    before = _log_in(port, "etl", key, "echo kept > note; echo $AZ_BATCH_NODE_ID")

    service.restart()
    service.wait_for_nodes()

    known_host = f"[127.0.0.1]:{port} {before.host_key}"
    after = _log_in(port, "etl", key, "cat note; echo $AZ_BATCH_NODE_ID", known_host)
    assert (before.output, after.output) == (f"{node.id}\n", f"kept\n{node.id}\n")
    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(port, "gone", key, "true")


def test_a_user_who_expired_stays_out(state: Path, account_of: Any) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with by_hand(state, account_of) as account:
        (node,) = account.open_pool()
        expiry = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        user = {"name": "etl", "sshPublicKey": key.export_public_key().decode(), "expiryTime": expiry}
        assert account.send("POST", f"/pools/linux/nodes/{node['id']}/users", user) == 201
        account.emulator.control.advance(7200)
        account.send("PATCH", "/pools/linux", {"metadata": []})

    with by_hand(state, account_of) as account:
        (node,) = account.wait_for_nodes("linux", "idle")
        (endpoint,) = node["endpointConfiguration"]["inboundEndpoints"]
        with pytest.raises(asyncssh.PermissionDenied):
            _log_in(endpoint["frontendPort"], "etl", key, "true")


def test_a_node_whose_port_was_taken_meanwhile_gets_another(state: Path, account_of: Any, start: Any) -> None:
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        (node,) = account_of(emulator).open_pool()
        port = _port(node)

    with socket.create_server(("127.0.0.1", port)):
        account = start(state=state)
        (node,) = account.wait_for_nodes("linux", "idle")

    assert _port(node) != port
    assert asyncio.run(asyncssh.get_server_host_key("127.0.0.1", _port(node))) is not None


def test_a_pool_deletion_under_way_finishes(launch: Any, state: Path, pool: Any, wait: Any) -> None:
    service = launch("--state", str(state))
    service.make_pool(nodes=2)
    service.restart("--profile", "realistic")
    with service.client as client:
        client.begin_delete_pool("linux")
        assert client.get_pool("linux").state == "deleting"

    service.restart("--profile", "instant")

    with service.client as client:
        wait(lambda: list(client.list_pools()), lambda found: found == [])
    files = Path(f"{state}.files", "nodes")
    wait(lambda: list(files.glob("*/*")), lambda found: found == [])


def test_a_resize_under_way_finishes(launch: Any, state: Path, pool: Any) -> None:
    service = launch("--state", str(state), "--profile", "realistic")
    with service.client as client:
        client.create_pool(pool(nodes=2))
        assert client.get_pool("linux").allocation_state == "resizing"

    service.restart("--profile", "instant")

    assert len({node.id for node in service.wait_for_nodes(2)}) == 2


def test_a_resize_that_is_being_stopped_stops(launch: Any, state: Path, pool: Any, wait: Any) -> None:
    service = launch("--state", str(state), "--profile", "realistic")
    with service.client as client:
        client.create_pool(pool(nodes=2))
        client.begin_stop_pool_resize("linux")

    service.restart("--profile", "instant")

    with service.client as client:
        stopped = wait(lambda: client.get_pool("linux"), lambda found: found.allocation_state == "steady")
        assert [error.code for error in stopped.resize_errors] == ["ResizeStopped"]


def test_a_node_that_waited_for_its_task_to_leave_leaves(service: Any) -> None:
    service.make_pool()
    service.add_job(SLEEP)
    service.wait_for_task("running")
    with service.client as client:
        option = models.BatchPoolResizeOptions(
            target_dedicated_nodes=0, node_deallocation_option="taskcompletion"
        )
        client.begin_resize_pool("linux", option)

    service.restart()

    assert service.wait_for_nodes(0) == []
    assert service.wait_for_task("active").execution_info.requeue_count == 1


@pytest.mark.parametrize(("verb", "state_after"), [("deallocate", "deallocated"), ("reboot", "idle")])
def test_a_node_that_waited_for_its_task_to_restart_restarts(
    service: Any, account_of: Any, verb: str, state_after: str
) -> None:
    (node,) = service.make_pool()
    service.add_job("/bin/sh -c 'test -e started || { touch started; sleep 1000; }'")
    service.wait_for_file(node.id, "workitems/job/job-1/task-0/wd/started")
    account = account_of(service.emulator)
    option = {"deallocate": "nodeDeallocateOption", "reboot": "nodeRebootOption"}[verb]
    assert account.send("POST", f"/pools/linux/nodes/{node.id}/{verb}", {option: "taskcompletion"}) == 202

    service.restart()

    assert service.wait_for_nodes(state=state_after)[0].id == node.id


@pytest.mark.parametrize("kept", ["offline", "unusable", "starttaskfailed", "deallocated"])
def test_a_node_that_was_out_of_work_stays_so(state: Path, account_of: Any, kept: str) -> None:
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account = account_of(emulator)
        account.create_pool()
        (node,) = account.wait_for_nodes("linux", "idle")
        emulator.control.set_node("linux", node["id"], kept)

    with run_emulator(EmulatorOptions(state=state)) as emulator:
        assert account_of(emulator).states() == ["steady", kept]


def test_a_schedule_goes_on_making_jobs(state: Path, account_of: Any) -> None:
    schedule = {
        "id": "often",
        "schedule": {"recurrenceInterval": "PT1H"},
        "jobSpecification": {"poolInfo": {"poolId": "linux"}, "onAllTasksComplete": "terminatejob"},
    }
    with by_hand(state, account_of) as account:
        account.create_pool(nodes=0)
        account.send("POST", "/jobschedules", schedule)
        assert _job_ids(account) == ["often:job-1"]

    with by_hand(state, account_of) as account:
        account.emulator.control.advance(3700)
        assert _job_ids(account) == ["often:job-1", "often:job-2"]


def test_an_autoscaled_pool_goes_on_scaling(state: Path, account_of: Any) -> None:
    with by_hand(state, account_of) as account:
        account.create_pool(
            targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes = 0;"
        )
        first = account.send("GET", "/pools/linux")["autoScaleRun"]["timestamp"]

    with by_hand(state, account_of) as account:
        assert account.send("GET", "/pools/linux")["autoScaleRun"]["timestamp"] == first
        account.emulator.control.advance(1000)
        assert account.send("GET", "/pools/linux")["autoScaleRun"]["timestamp"] > first


def test_the_time_limit_of_a_job_still_holds(state: Path, account_of: Any) -> None:
    job = {"id": "job", "poolInfo": {"poolId": "linux"}, "constraints": {"maxWallClockTime": "PT1H"}}
    with by_hand(state, account_of) as account:
        account.create_pool(nodes=0)
        account.send("POST", "/jobs", job)

    with by_hand(state, account_of) as account:
        account.emulator.control.advance(3700)
        ended = account.send("GET", "/jobs/job")
        assert ended["executionInfo"]["terminateReason"] == "MaxWallClockTimeExpiry"


def test_quotas_are_kept(state: Path, account_of: Any) -> None:
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        emulator.control.set_quota(pools=0)

    with (
        run_emulator(EmulatorOptions(state=state)) as emulator,
        pytest.raises(AssertionError, match="has been reached"),
    ):
        account_of(emulator).create_pool()


def test_application_packages_are_kept(state: Path, account_of: Any) -> None:
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        application = emulator.control.set_package("tools", "1", {"run": "#!/bin/sh\n"})

    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account = account_of(emulator)
        account.create_pool(applicationPackageReferences=[{"applicationId": application}])
        account.wait_for_nodes("linux", "idle")


def test_a_reset_is_kept_too(state: Path, account_of: Any) -> None:
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account_of(emulator).create_pool()
        emulator.control.set_quota(pools=0)
        emulator.control.reset()

    with run_emulator(EmulatorOptions(state=state)) as emulator:
        assert account_of(emulator).send("GET", "/pools")["value"] == []
        account_of(emulator).create_pool(nodes=0)


def test_a_key_that_is_given_takes_the_place_of_the_kept_one(state: Path, account_of: Any) -> None:
    with run_emulator(EmulatorOptions(state=state, key="b25l")) as first:
        assert first.key == "b25l"
    with run_emulator(EmulatorOptions(state=state, key="dHdv")) as second:
        assert second.key == "dHdv"
    with run_emulator(EmulatorOptions(state=state)) as third:
        assert third.key == "dHdv"


def _job_ids(account: Any) -> list[str]:
    return [job["id"] for job in account.send("GET", "/jobs")["value"]]


def _port(node: dict[str, Any]) -> int:
    (endpoint,) = node["endpointConfiguration"]["inboundEndpoints"]
    port: int = endpoint["frontendPort"]
    return port


def _log_in(port: int, name: str, key: asyncssh.SSHKey, command: str, known_host: str | None = None) -> Any:
    known_hosts = None if known_host is None else asyncssh.import_known_hosts(known_host)

    async def connect() -> Any:
        async with asyncssh.connect(
            "127.0.0.1", port, username=name, client_keys=[key], known_hosts=known_hosts, config=None
        ) as connection:
            host_key = connection.get_server_host_key()
            assert host_key is not None
            done = await connection.run(command, check=True)
            return SimpleNamespace(output=done.stdout, host_key=host_key.export_public_key().decode())

    return asyncio.run(asyncio.wait_for(connect(), 20))
