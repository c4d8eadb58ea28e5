"""
Each form in which something is stored carries its version, and one of a later release is not misread.

``tests/unit/triggers/test_upgrades.py`` ranges over all triggers and their events.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.client.tasks.jobs import Submission
from airflow_provider_batchlinux.client.tasks.many import ManySubmission
from airflow_provider_batchlinux.core.events import UnreadableEventError, WaitEvent
from airflow_provider_batchlinux.core.functions.call import returned_part
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.changes.meaning import pool_fingerprint
from airflow_provider_batchlinux.core.pools.holding import holding_of
from airflow_provider_batchlinux.core.pools.repair import RepairHistory, history_in, with_history
from airflow_provider_batchlinux.core.pools.usage import Usage
from airflow_provider_batchlinux.core.tasks.job import Tries
from airflow_provider_batchlinux.core.tasks.output import Progress
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in, with_entry
from airflow_provider_batchlinux.on_node import run_function
from airflow_provider_batchlinux.operators.node_users import BatchLinuxRemoveNodeUsersOperator
from tests.source_code import SOURCES, nodes_of

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
OWNER = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": "-1", "installation": "i"}
LATER = 99
VERSION = f"{METADATA_PREFIX}version"


def job(submission: type[Submission]) -> dict[str, Any]:
    spec = JobSpec("etl", {"main": Command(TaskSpec("true", secret_environment={"A": "b"}))}, own={})
    made = submission(spec, Tries("job-t", 1), "token", OWNER, storage=None)  # type: ignore[arg-type]  # unused
    return {**made.job_rest({}), "id": "job-t1"}


def own_job(metadata: Mapping[str, str]) -> object:
    body = {"id": "job-t1", "metadata": [{"name": name, "value": value} for name, value in metadata.items()]}
    return [found["id"] for found in Tries("job-t", 2).own([body])]


@dataclass(frozen=True)
class Form:
    """
    A form in which something is stored.

    :param written: what this release stores.
    :param read: returns what it makes of what is stored.
    :param entries: the entries of metadata that are in it.
    :param before: what an earlier release stored, without a version, and reads the same; ``None`` for none.
    :param later: what is made of a later version: an error, or a value.
    """

    written: Mapping[str, Any]
    read: Callable[[Any], object]
    later: str | object
    before: Any = None
    entries: tuple[str, ...] = ()

    def in_version(self, version: int) -> dict[str, Any]:
        """Return what is written, as if of another version."""
        if not self.entries:
            return {**self.written, "version": version}
        [(name, value)] = [(name, value) for name, value in self.written.items() if '"version"' in value] or [
            (VERSION, self.written[VERSION])
        ]
        changed = str(version) if name == VERSION else json.dumps({**json.loads(value), "version": version})
        return {**self.written, name: changed}


UPDATE = r"[Uu]pdate (the provider|both)"
MARKS = PoolMarks(
    owner=OWNER, fingerprint="f", expires_at=NOW, is_shared=True, has_more_holders=True, kept_until=NOW,
    kept_since="x", max_node_hours=1.0, delete_over_budget=True,
)  # fmt: skip
USAGE = Usage(dedicated_seconds=60, until=NOW)
ENTRY = LedgerEntry("ann", NOW, OWNER)
HISTORY = RepairHistory(total=2)
JOB = metadata_of(job(Submission))

FORMS: dict[str, Form] = {
    "marks of a pool": Form(
        MARKS.to_metadata(),
        lambda stored: holding_of(PoolMarks.read(stored), datetime(2025, 1, 1, tzinfo=timezone.utc), bool),
        "a later release of the provider has marked it (version 99)",
        entries=(
            *OWNER, "fingerprint", "version", "expires_at", "shared", "holders", "more_holders", "kept",
            "kept_until", "max_node_hours", "delete_over_budget", "takers", "instance",
        ),
    ),
    "usage of a pool": Form(USAGE.update({}), Usage.read, Usage(), entries=("usage",)),
    "users of a pool": Form(
        with_entry({}, ENTRY),
        lambda stored: entries_in(stored)["ann"].holder,
        "provider 'a later release (version 99)'",
        entries=("user_",),
    ),
    "repairs of a pool": Form(
        with_history({}, HISTORY), history_in, UPDATE, entries=("repairs", "repair_autoscale")
    ),
    "marks of a job": Form(
        JOB, own_job, UPDATE,
        before={name: value for name, value in JOB.items() if name != VERSION},
        entries=("submission", "secrets", "settled", "read", "delete_job", "tasks", "counted"),
    ),
    "output that was shown": Form(
        Progress((0, 1), {"stdout": 3, "stderr": 4}).to_plain(),
        Progress.of,
        None,
        before={"run": [0, 1], "stdout": 3, "stderr": 4},
    ),
    "result of a function": Form(
        json.loads(run_function.encode(7, {"pickled": None})),
        lambda stored: returned_part(stored, "value"),
        UPDATE,
        before={"value": 7},
    ),
    "wait of a task": Form(WaitEvent("a.Trigger", {}).to_payload(), WaitEvent.from_payload, UPDATE),
}  # fmt: skip

XCOMS = {
    "WAIT_KEY": "the wait of a task",
    "OUTPUT_KEY": "output that was shown",
    "_SO_FAR": "tested below",
    "_FAILED_NODES": "a result, which this release does not read",
    "XCOM_RETURN_KEY": "a result, which this release does not read",
    "xcom_key": "a link",
}
"""What is stored under the keys of XComs."""


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_stored_form_carries_its_version_and_a_later_one_is_told(form: Form) -> None:
    texts = [str(form.written), *map(str, form.written.values())]
    assert any("version" in text for text in texts)
    assert form.read(form.written) is not None
    if form.before is not None:
        assert form.read(form.before) == form.read(form.written)

    later = form.in_version(LATER)
    if isinstance(form.later, str) and form.later == UPDATE:
        with pytest.raises(ValueError, match=UPDATE):
            form.read(later)
    else:
        assert form.read(later) == form.later


def test_what_a_later_release_recorded_of_the_usage_stays() -> None:
    later = {**USAGE.update({}), VERSION: str(LATER)}

    assert Usage(dedicated_seconds=1).update(later) == later


@pytest.mark.parametrize("submission", [Submission, ManySubmission])
def test_the_job_of_each_submission_carries_the_version(submission: type[Submission]) -> None:
    assert metadata_of(job(submission))[VERSION] == "2"


def test_a_fingerprint_names_the_version_of_what_it_digests() -> None:
    assert pool_fingerprint({"id": "etl"}, image=None, vm_size=None).startswith("v2:")


@pytest.mark.parametrize(
    ("stored", "reads"),
    [({"version": 2, "records": []}, True), ([], True), ({"version": LATER, "records": []}, False)],
)
def test_what_is_known_of_nodes_before_a_deferral_is_refused_in_a_later_version(
    stored: object, reads: bool
) -> None:
    class TaskInstance:
        map_index = -1

        def xcom_pull(self, **_: object) -> object:
            return stored

    operator: Any = BatchLinuxRemoveNodeUsersOperator(task_id="t", pool_id="etl", username="ann")
    # With these, the event itself is what is refused next.
    with pytest.raises(
        UnreadableEventError, match="event" if reads else r"(?s)nodes so far has version 99.*Update"
    ):
        operator.execute_complete({"ti": TaskInstance()}, {"version": LATER})


def test_each_entry_of_metadata_belongs_to_a_form_with_a_version() -> None:
    named = {name for form in FORMS.values() for name in form.entries}

    assert set(entries_in_source()) == named - set(OWNER)


def test_each_xcom_belongs_to_a_form_with_a_version_or_is_a_result() -> None:
    assert set(xcoms_in_source()) == set(XCOMS)


def entries_in_source() -> Iterator[str]:
    """Yield what follows the prefix of the provider's metadata wherever the package spells it."""
    for path in SOURCES:
        for node in nodes_of(path):
            if isinstance(node, ast.JoinedStr) and len(node.values) == 2:
                prefix, rest = node.values
                is_prefix = isinstance(prefix, ast.FormattedValue) and isinstance(prefix.value, ast.Name)
                if is_prefix and prefix.value.id == "METADATA_PREFIX" and isinstance(rest, ast.Constant):  # type: ignore[attr-defined]
                    yield str(rest.value)


def xcoms_in_source() -> Iterator[str]:
    """Yield the names of the keys of XComs that the package stores."""
    for path in SOURCES:
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            keys = [item.value for item in node.keywords if item.arg == "key"]
            if called == "TriggerMemory":
                keys.append(node.args[1])
            if called in ("TriggerMemory", "xcom_push"):
                yield from (
                    getattr(key, "id", None) or getattr(key, "attr", None) or ast.unparse(key) for key in keys
                )
