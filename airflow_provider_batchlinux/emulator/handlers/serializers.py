"""The JSON of pools, nodes, jobs and tasks in answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.state.records import (
    Job,
    JobNode,
    JobSchedule,
    Json,
    Node,
    Pool,
    Subtask,
    Task,
    work_item,
)
from airflow_provider_batchlinux.emulator.state.store import Store

COUNTED_STATES: Mapping[str, str] = {
    "creating": "creating",
    "idle": "idle",
    "leavingpool": "leavingPool",
    "offline": "offline",
    "preempted": "preempted",
    "rebooting": "rebooting",
    "reimaging": "reimaging",
    "running": "running",
    "starting": "starting",
    "starttaskfailed": "startTaskFailed",
    "unknown": "unknown",
    "unusable": "unusable",
    "upgradingos": "upgradingOS",
    "waitingforstarttask": "waitingForStartTask",
    "deallocated": "deallocated",
    "deallocating": "deallocating",
}
"""Node states, and their names in node counts."""


def drop_none(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return a view without properties that are ``None``, which the service leaves out."""
    return {name: value for name, value in view.items() if value is not None}


def version_view(version: Version) -> dict[str, str]:
    """Return the version of a resource for its body."""
    return {"eTag": version.etag, "lastModified": format_instant(version.modified)}


def pool_view(store: Store, base_url: str, pool: Pool) -> dict[str, Any]:
    """Return a pool."""
    return {
        "id": pool.id,
        "url": f"{base_url}/pools/{pool.id}",
        **version_view(pool.version),
        "creationTime": format_instant(pool.created),
        "state": pool.state,
        "stateTransitionTime": format_instant(pool.state_since),
        "allocationState": pool.allocation_state,
        "allocationStateTransitionTime": format_instant(pool.allocation_since),
        **pool.spec,
        **_communication(store, pool),
        "currentDedicatedNodes": store.count_nodes(pool.id, is_dedicated=True),
        "targetDedicatedNodes": pool.target_dedicated,
        "currentLowPriorityNodes": store.count_nodes(pool.id, is_dedicated=False),
        "targetLowPriorityNodes": pool.target_spot,
        **({"autoScaleRun": pool.auto_scale_run} if pool.auto_scale_run else {}),
        **({"resizeErrors": list(pool.resize_errors)} if pool.resize_errors else {}),
    }


def _communication(store: Store, pool: Pool) -> dict[str, str]:
    """
    Return how nodes speak with the service; recorded: shown as soon as the pool has some.

    Recorded, too: a pool shows its ``targetNodeCommunicationMode`` only if it was sent, and no "default".
    """
    if not len(store.nodes(pool.id)):
        return {}
    target = pool.spec.get("targetNodeCommunicationMode", "default")
    return {"currentNodeCommunicationMode": "simplified" if target == "simplified" else "classic"}


def node_view(store: Store, base_url: str, pool: Pool, node: Node) -> dict[str, Any]:
    """Return a node of a pool."""
    return drop_none(
        {
            "id": node.id,
            "url": f"{base_url}/pools/{pool.id}/nodes/{node.id}",
            "state": node.state,
            "schedulingState": "enabled" if node.is_scheduling and not node.is_deallocated else "disabled",
            "stateTransitionTime": format_instant(node.state_since),
            "lastBootTime": format_instant(node.last_boot) if node.last_boot else None,
            "allocationTime": format_instant(node.allocated),
            "ipAddress": node.private_address,
            "ipv6Address": node.private_ipv6_address if pool.is_dual_stack else None,
            "affinityId": f"TVM:{node.id}",
            "vmSize": pool.spec["vmSize"],
            "totalTasksRun": node.tasks_run,
            "totalTasksSucceeded": node.tasks_succeeded,
            "runningTasksCount": node.running_tasks,
            "runningTaskSlotsCount": node.running_slots,
            "recentTasks": _recent_tasks(store, base_url, node) or None,
            "startTask": node.start_task,
            "startTaskInfo": node.start_task_info,
            "errors": list(node.errors) or None,
            "isDedicated": node.is_dedicated,
            "endpointConfiguration": _endpoints(pool, node),
            "nodeAgentInfo": _node_agent(node),
            "virtualMachineInfo": {"imageReference": image_reference(pool)},
        }
    )


def _recent_tasks(store: Store, base_url: str, node: Node) -> list[dict[str, Any]]:
    """Tasks that are deleted meanwhile are left out; assumed."""
    found = (store.tasks(job_id).get(task_id) for job_id, task_id in node.recent_tasks)
    return [
        {
            "taskUrl": f"{base_url}/jobs/{task.job_id}/tasks/{task.id}",
            "jobId": task.job_id,
            "taskId": task.id,
            **_subtask_id(task, node),
            "taskState": task.state,
            "executionInfo": dict(task.execution),
        }
        for task in found
        if task is not None
    ]


def _subtask_id(task: Task, node: Node) -> dict[str, int]:
    found = [subtask.id for subtask in task.subtasks if subtask.node_id == node.id]
    return {"subtaskId": found[0]} if found else {}


def node_counts_view(store: Store, pool: Pool) -> dict[str, Any]:
    """Return the number of nodes of a pool in each state."""
    counts = store.nodes(pool.id).counts

    def of_kind(is_dedicated: bool) -> dict[str, int]:
        by_name = {name: counts[is_dedicated, state] for state, name in COUNTED_STATES.items()}
        return {**by_name, "total": sum(by_name.values())}

    return {"poolId": pool.id, "dedicated": of_kind(True), "lowPriority": of_kind(False)}


def image_reference(pool: Pool) -> dict[str, Any]:
    """Return the image a node of the pool runs; which version exactly is not emulated."""
    reference = pool.spec["virtualMachineConfiguration"]["imageReference"]
    return {**reference, "exactVersion": reference.get("version", "latest")}


def _endpoints(pool: Pool, node: Node) -> dict[str, Any] | None:
    """
    Return the inbound endpoints of a node.

    Only the one for SSH over IPv4 leads anywhere. The port of another is what a node of Azure would have.
    """
    if not pool.nat_pools:
        return None
    # Recorded: with IPv6 each endpoint is followed by one of the same ports, whose name says so.
    families = [("", "127.0.0.1"), ("-ipv6", "::1")] if pool.is_dual_stack else [("", "127.0.0.1")]
    endpoints = [
        {
            "name": f"{rule['name']}{suffix}.{node.number}",
            "protocol": rule["protocol"],
            "publicIPAddress": address,
            "publicFQDN": "localhost",
            "frontendPort": outside_port(rule, node),
            "backendPort": rule["backendPort"],
        }
        for rule in pool.nat_pools
        for suffix, address in families
    ]
    return {"inboundEndpoints": endpoints}


def outside_port(nat_pool: Json, node: Node) -> int:
    """Return the port by which a NAT pool leads to a node from outside."""
    if nat_pool["backendPort"] == 22 and node.ssh_port is not None:
        return node.ssh_port
    start: int = nat_pool["frontendPortRangeStart"]
    return start + node.number


def _node_agent(node: Node) -> dict[str, str] | None:
    if node.agent_since is None:
        return None
    return {"version": "1.12.39", "lastUpdateTime": format_instant(node.agent_since)}


def job_view(base_url: str, job: Job) -> dict[str, Any]:
    """Return a job."""
    execution = {
        "startTime": format_instant(job.created),
        "endTime": format_instant(job.ended) if job.ended else None,
        "poolId": job.pool_id or None,
        "schedulingError": job.scheduling_error,
        "terminateReason": job.terminate_reason,
    }
    return {
        "id": job.id,
        "url": f"{base_url}/jobs/{job.id}",
        **version_view(job.version),
        "creationTime": format_instant(job.created),
        **state_view(job),
        **job.spec,
        "executionInfo": drop_none(execution),
    }


def job_schedule_view(base_url: str, schedule: JobSchedule) -> dict[str, Any]:
    """Return a job schedule."""
    recent = schedule.recent_job
    execution = {
        "nextRunTime": format_instant(schedule.next_run) if schedule.next_run else None,
        "recentJob": {"url": f"{base_url}/jobs/{recent}", "id": recent} if recent else None,
        "endTime": format_instant(schedule.ended) if schedule.ended else None,
    }
    return {
        "id": schedule.id,
        "url": f"{base_url}/jobschedules/{schedule.id}",
        **version_view(schedule.version),
        "creationTime": format_instant(schedule.created),
        **state_view(schedule),
        **{name: value for name, value in schedule.spec.items() if value or name != "schedule"},
        "executionInfo": drop_none(execution),
    }


def job_node_view(base_url: str, job: Job, place: JobNode) -> dict[str, Any]:
    """Return the preparation and release tasks of a job on a node."""
    node_url = f"{base_url}/pools/{place.pool_id}/nodes/{place.node_id}"

    def execution(name: str, info: Json) -> dict[str, Any]:
        directory = f"workitems/{work_item(job.id)}/{job.spec[name]['id']}"
        url = f"{node_url}/files/{directory}"
        return {**info, "taskRootDirectory": directory, "taskRootDirectoryUrl": url}

    view: dict[str, Any] = {"poolId": place.pool_id, "nodeId": place.node_id, "nodeUrl": node_url}
    prepared = execution("jobPreparationTask", place.preparation)
    view["jobPreparationTaskExecutionInfo"] = prepared
    if place.release is not None:
        release = {name: value for name, value in place.release.items() if name != "retryCount"}
        view["jobReleaseTaskExecutionInfo"] = execution("jobReleaseTask", release)
    return view


def task_view(base_url: str, task: Task) -> dict[str, Any]:
    """Return a task."""
    view = {
        "id": task.id,
        "url": f"{base_url}/jobs/{task.job_id}/tasks/{task.id}",
        **version_view(task.version),
        "creationTime": format_instant(task.created),
        **state_view(task),
        **task.spec,
        "executionInfo": dict(task.execution),
    }
    if task.node_id is not None:
        view["nodeInfo"] = _node_info(base_url, task, task.node_id)
    return view


def subtask_view(base_url: str, task: Task, subtask: Subtask) -> dict[str, Any]:
    """Return a subtask of a multi-instance task."""
    return {
        "id": subtask.id,
        "nodeInfo": _node_info(base_url, task, subtask.node_id, f"/{subtask.id}"),
        **state_view(subtask),
        **subtask.execution,
    }


def task_counts_view(counts: Counter[Any]) -> dict[str, Any]:
    """
    Return the number of tasks and of task slots in each state.

    :param counts: number of tasks by state, result and slots.
    """
    tasks, slots = Counter[str](), Counter[str]()
    for (state, result, size), number in counts.items():
        for name in _COUNTED_AS[state, result]:
            tasks[name] += number
            slots[name] += number * size
    return {
        "taskCounts": {name: tasks[name] for name in _TASK_COUNTS},
        "taskSlotCounts": {name: slots[name] for name in _TASK_COUNTS},
    }


_TASK_COUNTS = ("active", "running", "completed", "succeeded", "failed")
_COUNTED_AS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("active", None): ("active",),
    ("preparing", None): ("running",),
    ("running", None): ("running",),
    ("completed", "success"): ("completed", "succeeded"),
    ("completed", "failure"): ("completed", "failed"),
}


def state_view(record: Job | JobSchedule | Task | Subtask) -> dict[str, str]:
    """Return the state of a job, schedule, task or subtask, and the one before it."""
    view = {"state": record.state, "stateTransitionTime": format_instant(record.state_since)}
    if record.previous_state is not None and record.previous_since is not None:
        view["previousState"] = record.previous_state
        view["previousStateTransitionTime"] = format_instant(record.previous_since)
    return view


def _node_info(base_url: str, task: Task, node_id: str, below: str = "") -> dict[str, str]:
    node_url = f"{base_url}/pools/{task.pool_id}/nodes/{node_id}"
    directory = f"workitems/{work_item(task.job_id)}/{task.id}{below}"
    return {
        "affinityId": f"TVM:{node_id}",
        "nodeUrl": node_url,
        "poolId": task.pool_id,
        "nodeId": node_id,
        "taskRootDirectory": directory,
        "taskRootDirectoryUrl": f"{node_url}/files/{directory}",
    }
