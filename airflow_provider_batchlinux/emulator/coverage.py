"""Writes the page that says which operations of the Batch API the embedded service has; serves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from airflow_provider_batchlinux.emulator.http.routes import OPERATIONS, RETIRED, Operation

PARTLY: Mapping[str, str] = {
    "list_applications": "always empty: only Azure's control plane can add applications",
    "get_application": "always 404: only Azure's control plane can add applications",
    "list_supported_images": "a fixed list, not the one of today",
    "upload_node_logs": "the log files are the emulator's own",
    "list_node_extensions": "shown as installed as the pool asks; nothing is installed",
    "get_node_extension": "shown as installed as the pool asks; nothing is installed",
    "reimage_node": "a node's files and users go; no image is installed",
    "create_pool": "no mounts, virtual networks or custom images; nothing is done for extensions",
    "create_task": "runs as a process here: no containers and no other users",
    "create_task_collection": "as `create_task`",
    "create_node_user": "exists for SSH logins; expiry is exact, not by the day",
}
"""Operations that do less than the service, and what is missing."""

ONCE: Mapping[str, str] = {
    "upgrade_pool_os": "refused: it was for pools of cloud services",
    "get_all_pools_lifetime_statistics": "zeros",
    "get_all_jobs_lifetime_statistics": "zeros",
    "get_node_remote_desktop": "refused: Linux nodes have no remote desktop",
    "list_certificates": "always empty: certificates are retired",
    "create_certificate": "501: certificates are retired",
    "get_certificate": "always 404",
    "delete_certificate": "always 404",
    "cancel_certificate_deletion": "always 404",
}
"""Operations of older versions that do less than they did, and what they do."""

_HEAD = """\
# What the embedded Batch service covers

Written by `python -m airflow_provider_batchlinux.emulator.coverage`; do not edit.

All {total} operations of API version 2025-06-01: {yes} yes, {partly} partly, {no} no. Those that it does not
have answer 501 with the code `NotImplemented`. `$expand=stats` is accepted and adds no statistics.

| operation | request | covered |
|---|---|---|
"""
_OLDER = """
## Operations that only older versions have

They are answered to clients that ask with a version of then, and 404 to others. How versions differ in what
bodies and answers hold is in [older clients](emulator-clients.md).

| operation | request | until | covered |
|---|---|---|---|
"""


def coverage_page() -> str:
    """Return the page as Markdown."""
    answers = {operation: _answer(operation) for operation in OPERATIONS}
    counts = Counter(answer.partition(":")[0] for answer in answers.values())
    head = _HEAD.format(total=len(OPERATIONS), **{kind: counts[kind] for kind in ("yes", "partly", "no")})
    rows = (_row(operation, answer) for operation, answer in answers.items())
    return head + "".join(rows) + _OLDER + "".join(_older_row(operation) for operation in RETIRED)


def _older_row(operation: Operation) -> str:
    answer = ONCE.get(operation.name or "", "yes")
    return f"| `{operation.name}` | {operation.method} {operation.path} | {operation.until} | {answer} |\n"


def _row(operation: Operation, answer: str) -> str:
    return f"| `{operation.name}` | {operation.method} {operation.path} | {answer} |\n"


def _answer(operation: Operation) -> str:
    if operation.handler is None:
        return "no"
    missing = PARTLY.get(operation.name or "")
    return f"partly: {missing}" if missing else "yes"


if __name__ == "__main__":
    print(coverage_page(), end="")
