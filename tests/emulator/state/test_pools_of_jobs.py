"""Tasks of several nodes, and pools that came with their jobs, after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator

_MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}


def test_an_auto_pool_is_deleted_with_its_job_after_a_restart(state: Path, account_of: Any) -> None:
    pool = {"vmSize": "standard_d2s_v5", "virtualMachineConfiguration": _MACHINE, "targetDedicatedNodes": 1}
    auto = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": pool}}
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        assert account_of(emulator).send("POST", "/jobs", {"id": "work", "poolInfo": auto}) == 201
        pool_id = account_of(emulator).send("GET", "/jobs/work")["executionInfo"]["poolId"]

    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account = account_of(emulator)
        assert account.send("GET", f"/pools/{pool_id}")["state"] == "active"
        account.send("POST", "/jobs/work/terminate", {})
        _wait(lambda: account.send("GET", "/pools")["value"] == [])


def test_a_task_of_several_nodes_runs_on_them_again_after_a_restart(state: Path, account_of: Any) -> None:
    settings = {"numberOfInstances": 2, "coordinationCommandLine": "true"}
    task = {"id": "mpi", "commandLine": "/bin/sleep 1000", "multiInstanceSettings": settings}
    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account = account_of(emulator)
        account.create_pool(nodes=2, enableInterNodeCommunication=True)
        account.send("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "linux"}})
        account.send("POST", "/jobs/work/tasks", task)
        _wait(lambda: _subtasks(account) == [(1, "completed")])

    with run_emulator(EmulatorOptions(state=state)) as emulator:
        account = account_of(emulator)
        _wait(lambda: account.send("GET", "/jobs/work/tasks/mpi")["state"] == "running")
        _wait(lambda: _subtasks(account) == [(1, "completed")])
        assert account.send("GET", "/jobs/work/tasks/mpi")["executionInfo"]["requeueCount"] == 1
        assert [node["runningTasksCount"] for node in account.nodes()] == [1, 1]


def _subtasks(account: Any) -> list[tuple[int, str]]:
    found = account.send("GET", "/jobs/work/tasks/mpi/subtasksinfo")["value"]
    return [(subtask["id"], subtask["state"]) for subtask in found]


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "not so after 10 s"
