"""What the account holds that the requests are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.signed_requests import Wire

__all__ = ["furnish"]

ID = "fuzz"


def furnish(wire: Wire, version: str) -> dict[str, str]:
    """Make a pool with a node, a job with a task and a schedule; give the values of path parameters."""
    query = f"?api-version={version}"
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    pool = {"id": ID, "vmSize": "standard_d2s_v5", "targetDedicatedNodes": 1}
    wire.send("POST", f"/pools{query}", {**pool, "virtualMachineConfiguration": machine})
    while not (nodes := wire.get(f"/pools/{ID}/nodes{query}&$filter=state%20eq%20'idle'")["value"]):
        continue
    job = {"id": ID, "poolInfo": {"poolId": ID}}
    wire.send("POST", f"/jobs{query}", job)
    task = {"id": ID, "commandLine": "true"}
    wire.send("POST", f"/jobs/{ID}/tasks{query}", task)
    # A job and a job schedule of one id are refused.
    schedule_id = f"{ID}-schedule"
    schedule = {"id": schedule_id, "schedule": {"recurrenceInterval": "P1D"}}
    specification = {"poolInfo": {"poolId": ID}}
    wire.send("POST", f"/jobschedules{query}", {**schedule, "jobSpecification": specification})
    return {"poolId": ID, "nodeId": nodes[0]["id"], "jobId": ID, "taskId": ID, "jobScheduleId": schedule_id}
