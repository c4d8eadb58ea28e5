"""The scenario of ``azure-batch`` 14.2, the last version on msrest, in an environment of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

# Another version than that of the project, so that its modules are not known here.
batch: Any = import_module("azure.batch")
models: Any = import_module("azure.batch.models")
credentials: Any = import_module("azure.batch.batch_auth").SharedKeyCredentials

LIMIT = 60.0
IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}


def main() -> None:
    """Create a pool, run a task on it, read its output, change and delete everything."""
    environ = os.environ
    key = credentials(environ["AZURE_BATCH_ACCOUNT"], environ["AZURE_BATCH_ACCESS_KEY"])
    client = batch.BatchServiceClient(key, batch_url=environ["AZURE_BATCH_ENDPOINT"])

    run_a_task(client)
    change_the_pool(client)
    delete_all(client)


def run_a_task(client: Any) -> None:
    """Run a task on a new pool, and read its output."""
    machine = models.VirtualMachineConfiguration(
        image_reference=models.ImageReference(**IMAGE), node_agent_sku_id="batch.node.ubuntu 24.04"
    )
    client.pool.add(
        models.PoolAddParameter(
            id="linux",
            vm_size="standard_d2s_v5",
            virtual_machine_configuration=machine,
            target_dedicated_nodes=1,
        )
    )
    eventually(lambda: [node.state for node in client.compute_node.list("linux")] == ["idle"])
    client.job.add(models.JobAddParameter(id="job", pool_info=models.PoolInformation(pool_id="linux")))
    tasks = [models.TaskAddParameter(id=f"task{number}", command_line="/bin/echo hello") for number in (1, 2)]
    added = client.task.add_collection("job", tasks)
    assert [result.status.lower() for result in added.value] == ["success", "success"]
    eventually(lambda: all(task.state == "completed" for task in client.task.list("job")))
    assert b"".join(client.file.get_from_task("job", "task1", "stdout.txt")) == b"hello\n"
    files = {file.name for file in client.file.list_from_task("job", "task1", recursive=True)}
    assert {"stdout.txt", "stderr.txt"} <= files, files
    client.job.terminate("job")
    eventually(lambda: client.job.get("job").state == "completed")


def change_the_pool(client: Any) -> None:
    """Add a user, scale, reboot; and meet an error."""
    (node,) = client.compute_node.list("linux")
    client.compute_node.add_user("linux", node.id, models.ComputeNodeUser(name="etl", password="s3cret-Pw"))
    client.compute_node.delete_user("linux", node.id, "etl")
    client.compute_node.reboot("linux", node.id)
    eventually(lambda: [node.state for node in client.compute_node.list("linux")] == ["idle"])
    client.pool.enable_auto_scale("linux", auto_scale_formula="$TargetDedicatedNodes = 0;")
    eventually(lambda: list(client.compute_node.list("linux")) == [])
    client.pool.disable_auto_scale("linux")
    assert error_code(lambda: client.pool.get("missing")) == "PoolNotFound"


def delete_all(client: Any) -> None:
    """Delete job and pool."""
    client.job.delete("job")
    client.pool.delete("linux")
    eventually(lambda: not list(client.pool.list()) and not list(client.job.list()))


def error_code(call: Callable[[], object]) -> str | None:
    """Return the code of the error of a call, or None if there is none."""
    try:
        call()
    except models.BatchErrorException as error:
        return str(error.error.code)
    return None


def eventually(holds: Callable[[], bool]) -> None:
    """Return when something holds."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"Not so after {LIMIT:g} s."
        time.sleep(0.1)


if __name__ == "__main__":
    main()
