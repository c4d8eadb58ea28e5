"""The summary of a node as plain values, for the command line: state, addresses, why it is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.core.service_errors import broken_cause
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot


def node_summary(node: NodeSnapshot) -> dict[str, Any]:
    """Return a node as plain values."""
    start = node.start_task
    return {
        "node_id": node.node_id,
        "state": node.state,
        "since": node.state_since.isoformat() if node.state_since else None,
        "kind": "dedicated" if node.dedicated else "spot",
        "accepts_tasks": node.accepts_tasks,
        "private_address": node.private_address,
        "ssh": f"{node.ssh.address}:{node.ssh.port}" if node.ssh else None,
        "start_task": {"state": start.state, "exit_code": start.exit_code} if start else None,
        "last_boot": node.last_boot.isoformat() if node.last_boot else None,
        "cause": broken_cause(node),
    }


def tasks_on(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the latest tasks on a node, as its whole REST body lists them."""
    return [
        {
            "job_id": str(task.get("jobId") or ""),
            "task_id": str(task.get("taskId") or ""),
            "state": str(task.get("taskState") or "").lower(),
        }
        for task in body.get("recentTasks") or ()
    ]
