"""The parts of a command: its container and its user."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.specs import ApplicationPackageSpec, AutoUserSpec, TaskContainerSpec
from tests.airflow_harness import run_to_end
from tests.batch_account import BatchAccount
from tests.unit.commands import operator

HPC = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"}


def body_of_task(account: BatchAccount, job_id: str) -> dict[str, Any]:
    async def read(client: Any) -> dict[str, Any]:
        return dict((await client.sdk.get_task(job_id, "main")).as_dict())

    return account.hook.run(read)


@pytest.mark.parametrize("container", ["python:3.12", TaskContainerSpec("python:3.12")])
def test_a_container_on_a_pool_without_an_engine_is_refused_before_the_call(
    account: BatchAccount, container: Any
) -> None:
    account.make_pool()

    done = run_to_end(operator("true", container=container))

    assert "Pool 'etl' has no container engine, which container='python:3.12' needs." in done.message
    assert "containers=ContainerSpec()" in done.message
    assert account.jobs() == []


def test_container_user_slots_and_affinity_reach_the_service(account: BatchAccount) -> None:
    body = {
        "id": "etl",
        "vmSize": "standard_d2s_v5",
        "taskSlotsPerNode": 4,
        "targetDedicatedNodes": 1,
        "virtualMachineConfiguration": {
            "imageReference": HPC,
            "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            "containerConfiguration": {"type": "dockerCompatible"},
        },
        "userAccounts": [{"name": "loader", "password": "c0rrect-h0rse-Battery"}],
    }
    account.hook.run(lambda client: client.create_pool(body))
    account.wait_for_nodes({"idle": 1})
    node_id = account.nodes()[0].node_id

    done = run_to_end(
        operator(
            "echo in a container",
            container={"image": "python:3.12", "run_options": "--rm", "bind_mounts": [{"source": "Task"}]},
            run_as=AutoUserSpec(scope="task", elevation="admin"),
            required_slots="2",
            priority="7",
            affinity=node_id,
            delete_job="never",
        )
    )

    assert done.state == "success", done.error
    task = body_of_task(account, done.result["job_id"])
    assert task["containerSettings"]["imageName"] == "python:3.12"
    assert task["containerSettings"]["containerHostBatchBindMounts"] == [{"source": "Task"}]
    assert task["userIdentity"] == {"autoUser": {"scope": "task", "elevationLevel": "admin"}}
    assert (task["requiredSlots"], task["affinityInfo"]["affinityId"]) == (2, f"TVM:{node_id}")

    as_account = run_to_end(operator("true", run_as="loader", container="python:3.12"))
    assert as_account.state == "success", as_account.error

    bare = run_to_end(operator("true"))
    assert "runs commands in containers only: give container." in bare.message


def test_a_command_runs_with_its_application_packages(account: BatchAccount) -> None:
    account.control.set_package("tools", "1.0", {"run": "#!/bin/sh\necho from a package\n"})
    account.control.set_package("tools", "2.0", {}, is_default=False)
    account.idle_pool()

    done = run_to_end(
        operator(
            "$AZ_BATCH_APP_PACKAGE_tools/run && test -d $AZ_BATCH_APP_PACKAGE_tools_2_0",
            application_packages=[
                ApplicationPackageSpec("tools"),
                {"application_id": "tools", "version": "2.0"},
            ],
        )
    )

    assert done.state == "success", done.error
    assert "from a package" in done.everything_said
    unknown = run_to_end(operator("true", application_packages=[{"application_id": "other"}]))
    assert "other: The specified application package does not exist." in unknown.message


def test_two_users_for_one_command_are_refused() -> None:
    done = run_to_end(operator("true", elevated=True, run_as="loader"))

    assert "elevated and run_as both name a user" in done.message
