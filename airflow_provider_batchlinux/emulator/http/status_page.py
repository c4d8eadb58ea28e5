"""A page on which a person sees what the account has: pools, nodes, jobs, tasks and the last requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from typing import TypeVar

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.handlers.serializers import task_counts_view
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.state.records import Job, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

_Record = TypeVar("_Record", Pool, Job)

MOST_ROWS = 100
"""Rows of a table: a page of 10,000 nodes would hold up other requests, and say no more."""

_TASKS_OF_A_JOB = 20

STATUS_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    # No script, no request to anywhere else, and not in a frame of another page.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<title>Batch account {account}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em; color-scheme: light dark }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #8884; vertical-align: top }}
</style>
<h1>Batch account {account}</h1>
<p>{endpoint}, {now}. The page loads itself again every 5 seconds.</p>
{tables}
</html>
"""


def status_page(account: EmulatedAccount) -> str:
    """Return the page as HTML. Every text in it is escaped: clients choose ids, messages and paths."""
    store = account.service.store
    tables = [
        _table("Pools", ("pool", "VM size", "state", "allocation", "nodes", "errors"), _pools(store)),
        _table("Nodes", ("pool", "node", "state", "since", "tasks", "last task"), _nodes(store)),
        _table("Jobs", ("job", "pool", "state", "active", "running", "succeeded", "failed"), _jobs(store)),
        _table("Tasks", ("job", "task", "state", "exit code", "node", "failure"), _tasks(store)),
        _table("Last requests", ("status", "method", "path", "operation"), _requests(account)),
    ]
    return _PAGE.format(
        account=escape(account.options.account),
        endpoint=escape(account.endpoint),
        now=format_instant(account.clock.now()),
        tables="\n".join(tables),
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    shown = list(islice(rows, MOST_ROWS + 1))
    if not shown:
        return f"<h2>{title}</h2>\n<p>None.</p>"
    lines = [f"<h2>{title}</h2>", "<table>", _row("th", columns)]
    lines += [_row("td", row) for row in shown[:MOST_ROWS]]
    lines.append("</table>")
    if len(shown) > MOST_ROWS:
        lines.append(f"<p>Only {MOST_ROWS} are shown.</p>")
    return "\n".join(lines)


def _row(cell: str, values: Iterable[object]) -> str:
    texts = ("" if value is None else escape(str(value)) for value in values)
    return "<tr>" + "".join(f"<{cell}>{text}</{cell}>" for text in texts) + "</tr>"


def _newest(records: Iterable[_Record]) -> list[_Record]:
    return sorted(records, key=lambda record: record.created, reverse=True)


def _pools(store: Store) -> Iterator[Sequence[object]]:
    for pool in _newest(store.pools):
        counts = store.nodes(pool.id).counts
        states = ", ".join(f"{number} {state}" for (_, state), number in sorted(counts.items()) if number)
        errors = "; ".join(error["message"] for error in pool.resize_errors)
        yield pool.id, pool.spec["vmSize"], pool.state, pool.allocation_state, states or "none", errors


def _nodes(store: Store) -> Iterator[Sequence[object]]:
    for pool in _newest(store.pools):
        for _, node in store.nodes(pool.id).after(""):
            last = "/".join(node.recent_tasks[0]) if node.recent_tasks else ""
            since = format_instant(node.state_since)
            yield pool.id, node.id, node.state, since, node.running_tasks, last


def _jobs(store: Store) -> Iterator[Sequence[object]]:
    for job in _newest(store.jobs):
        counts = task_counts_view(store.tasks(job.id).counts)["taskCounts"]
        numbers = (counts[name] for name in ("active", "running", "succeeded", "failed"))
        yield job.id, job.pool_id, job.state, *numbers


def _tasks(store: Store) -> Iterator[Sequence[object]]:
    for job in _newest(store.jobs):
        for _, task in islice(store.tasks(job.id).after(""), _TASKS_OF_A_JOB):
            failure = task.execution.get("failureInfo", {}).get("message")
            yield job.id, task.id, task.state, task.execution.get("exitCode"), task.node_id, failure


def _requests(account: EmulatedAccount) -> Iterator[Sequence[object]]:
    for record in reversed(account.requests):
        path = f"{record.path}?{record.query}" if record.query else record.path
        yield record.status or "dropped", record.method, path, record.operation
