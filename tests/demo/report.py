"""The report that the demonstration prints."""

from __future__ import annotations

from typing import Any

from tests.demo.login import Login

__all__ = ["etl_lines", "leftover_lines", "pool_lines"]

WIDTH = 12


def pool_lines(run: dict[str, Any], login: Login | None) -> list[str]:
    """Report on the run of ``example_linux_pool``."""
    users = _result(run, "add_users") or []
    work = _result(run, "work") or {}
    return [
        *_opening("example_linux_pool", run, "create_pool", "nodes_idle"),
        *_line("users", [record["ssh_command"] for record in users]),
        *_line("logged in", [login.typed, *login.answer.splitlines()] if login else ["NO"]),
        *_line("work", [f"exit code {work.get('exit_code')} after {work.get('seconds')} s"]),
    ]


def etl_lines(run: dict[str, Any]) -> list[str]:
    """Report on the run of ``example_etl``."""
    totals = _result(run, "linux.load") or {}
    named = ("flights", "cancelled", "miles", "minutes_late")
    numbers = ", ".join(f"{name.replace('_', ' ')} {totals.get(name, 0):,}" for name in named)
    return [
        *_opening("example_etl", run, "linux.create", "linux.wait"),
        *_line("spread", [f"{totals.get('days')} days over {totals.get('nodes')} nodes"]),
        *_line("totals", [f"{numbers} (checked against the files)"]),
    ]


def leftover_lines(counts: dict[str, int]) -> list[str]:
    """Tell what is left of it all."""
    return ["", "left behind", *_line("", [", ".join(f"{count} {name}" for name, count in counts.items())])]


def _opening(dag_id: str, run: dict[str, Any], create: str, wait: str) -> list[str]:
    pool = _result(run, create) or {}
    image = ":".join(pool.get("image", {}).values())
    return [
        "",
        f"{dag_id}: {run['state']} in {run['seconds']:.0f} s",
        *_line("pool", [str(pool.get("pool_id"))]),
        *_line("image", [f"{image}, {pool.get('node_agent_sku')}"]),
        *_line("ready", [_readiness(run, create, wait)]),
    ]


def _readiness(run: dict[str, Any], create: str, wait: str) -> str:
    nodes = (_result(run, wait) or {}).get("nodes", {})
    asked = run["tasks"][create][0]["end_date"]
    ready = run["tasks"][wait][0]["end_date"]
    if not (nodes and asked and ready):
        return "NO"
    return f"{sum(nodes.values())} nodes idle {ready - asked:.1f} s after the pool was created"


def _result(run: dict[str, Any], task_id: str) -> Any:
    return run["tasks"][task_id][0]["result"]


def _line(name: str, values: list[str]) -> list[str]:
    names = [name, *[""] * len(values)]
    return [f"  {name:<{WIDTH}}{value}" for name, value in zip(names, values, strict=False)]
