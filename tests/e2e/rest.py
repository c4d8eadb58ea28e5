"""Airflow's REST API as an ops team uses it: runs, task instances, logs, XComs; knows nothing of Batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.polling import until

__all__ = ["AirflowApi", "Run"]

_WRITE_LIMIT = 60.0
_PARSE_LIMIT = 90.0
_RUN_LIMIT = 300.0
_TASK_LIMIT = 90.0


class AirflowApi:
    """
    Ask a running Airflow in which everybody is admin.

    :param client: leads to its API server.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> Any:
        """Get the answer's JSON; a refusal is an error."""
        return self._client.get(path, params=query).raise_for_status().json()

    def send(self, method: str, path: str, body: Any) -> Any:
        """Send a body and give the answer's JSON; a refusal is an error."""

        def answered() -> httpx.Response | None:
            # Airflow's SQLite has one writer at a time; what it could not write for that, it has not done.
            answer = self._client.request(method, path, json=body)
            return None if "Database error" in answer.text else answer

        answer = until(answered, f"the database to take {method} {path}", limit=_WRITE_LIMIT)
        assert answer.is_success, answer.text
        return answer.json()

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a Dag, as soon as Airflow has read it."""
        path = self.unpause(dag_id)
        run = self.send("POST", f"{path}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(self, dag_id, run["dag_run_id"])

    def backfill(self, dag_id: str, first: str, last: str, *, max_active_runs: int) -> list[Run]:
        """Run a Dag for past days, as soon as Airflow has read it."""
        self.unpause(dag_id)
        days = {"dag_id": dag_id, "from_date": first, "to_date": last, "max_active_runs": max_active_runs}
        self.send("POST", "/api/v2/backfills", days)
        return self.runs(dag_id)

    def runs(self, dag_id: str) -> list[Run]:
        """List the runs of a Dag."""
        listed = self.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        return [Run(self, dag_id, run["dag_run_id"]) for run in listed]

    def unpause(self, dag_id: str) -> str:
        """Let a Dag run, as soon as Airflow has read it, and give its path."""
        path = f"/api/v2/dags/{dag_id}"
        until(lambda: self._client.get(path).is_success, f"Dag {dag_id!r} to be read", limit=_PARSE_LIMIT)
        self.send("PATCH", path, {"is_paused": False})
        return path


@dataclass(frozen=True)
class Run:
    """A run of a Dag."""

    api: AirflowApi
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Where the API knows the run."""
        return f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"

    def wait(self, *, limit: float = _RUN_LIMIT) -> str:
        """Wait until the run is over, and give its state."""
        return until(self._end_state, f"the end of {self.dag_id!r}", limit=limit)

    def is_over(self) -> bool:
        """Tell whether the run has ended."""
        return self._end_state() is not None

    def tasks(self) -> list[dict[str, Any]]:
        """List the task instances."""
        listed: list[dict[str, Any]] = self.api.get(f"{self.path}/taskInstances")["task_instances"]
        return listed

    def task(self, task_id: str) -> dict[str, Any]:
        """Get the one instance of a task that is not mapped."""
        found: dict[str, Any] = self.api.get(f"{self.path}/taskInstances/{task_id}")
        return found

    def wait_for(self, task_id: str, state: str, *, limit: float = _TASK_LIMIT) -> dict[str, Any]:
        """Wait until a task is in a state, and give its instance."""

        def reached() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["state"] == state else None

        return until(reached, f"task {task_id!r} of {self.dag_id!r} to be {state}", limit=limit)

    def states(self) -> dict[str, list[str]]:
        """Give the states of the task instances by task."""
        states: dict[str, list[str]] = {}
        for task in self.tasks():
            states.setdefault(task["task_id"], []).append(task["state"])
        return states

    def log(self, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Read the log of a try: which logger says what, and the errors it shows."""
        path = f"{self.path}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.api.get(path, map_index=map_index, full_content=True)
        return "\n".join(_line(entry) for entry in answer["content"])

    def result(self, task_id: str, *, map_index: int = -1) -> Any:
        """Get what a task returned."""
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.api.get(path, map_index=map_index, deserialize=True)["value"]

    def links(self, task_id: str) -> dict[str, str | None]:
        """Get the extra links of a task by name."""
        found: dict[str, str | None] = self.api.get(f"{self.path}/taskInstances/{task_id}/links")[
            "extra_links"
        ]
        return found

    def rendered(self, task_id: str) -> dict[str, Any]:
        """Get the rendered fields of a task."""
        fields: dict[str, Any] = self.task(task_id)["rendered_fields"]
        return fields

    def mark_failed(self, task_id: str) -> None:
        """Mark a task as failed, as the button in the UI does."""
        self.api.send("PATCH", f"{self.path}/taskInstances/{task_id}", {"new_state": "failed"})

    def clear(self, task_id: str) -> None:
        """Clear a task, as the button in the UI does."""
        body = {"dag_run_id": self.run_id, "task_ids": [task_id], "dry_run": False, "only_failed": False}
        self.api.send("POST", f"/api/v2/dags/{self.dag_id}/clearTaskInstances", body)

    def _end_state(self) -> str | None:
        state: str = self.api.get(self.path)["state"]
        return state if state in ("success", "failed") else None


def _line(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    errors = [error["exc_value"] for error in entry.get("error_detail") or ()]
    return "\n".join([f"{entry.get('logger')}: {entry.get('event')}", *errors])
