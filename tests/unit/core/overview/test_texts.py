"""Hostile text, and actions as people ask for them."""

from __future__ import annotations

import pytest

from airflow_provider_batchlinux.core.overview.actions import ACTIONS, read_action
from airflow_provider_batchlinux.core.overview.nodes import job_overview, node_overview
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks, rest_metadata
from airflow_provider_batchlinux.core.text import last_lines, visible
from tests.unit.core.overview.test_pools import ABROAD, LIVE, NOW, US, marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain: äöü €\n\tindented", "plain: äöü €\n\tindented"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("\x00\x9b\u2028\ud800", "\\x00\\x9b\\u2028\\ud800"),
    ],
)
def test_what_could_hide_or_turn_text_is_written_out(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_the_last_lines_are_kept() -> None:
    assert last_lines("a\nb\nc\n", 2) == "b\nc"


FORMS = {
    "delete": {},
    "resize_to_0": {},
    "extend": {"hours": "8"},
    "reboot": {"node_id": "tvm-1"},
    "revoke": {"username": "nora"},
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_becomes_the_conf_of_a_run(name: str) -> None:
    wanted = read_action({"action": name, "conn": "batch", "pool": "etl", "extra": "left out", **FORMS[name]})

    values = {key: int(value) if key == "hours" else value for key, value in FORMS[name].items()}
    assert wanted.to_conf() == {"action": name, "conn_id": "batch", "pool_id": "etl", **values}
    assert "{" not in wanted.effect
    assert all(value in wanted.effect for value in FORMS[name].values())


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "action='' is not one of"),
        ({"action": "format", "pool": "etl"}, "action='format' is not one of"),
        ({"action": "delete", "pool": "a/b"}, "pool='a/b' contains characters"),
        ({"action": "delete"}, "pool='' is not an id"),
        ({"action": "reboot", "pool": "etl"}, "node_id is missing."),
        ({"action": "extend", "pool": "etl", "hours": "-1"}, "hours='-1' is not a whole number"),
        ({"action": "extend", "pool": "etl", "hours": "10000"}, "hours='10000' is not a whole number"),
    ],
)
def test_what_is_no_action_is_refused(form: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        read_action(form)


def test_a_node_shows_what_runs_on_it_and_why_it_is_broken() -> None:
    task = {"jobId": "j", "taskId": "main", "taskState": "running", "executionInfo": {"startTime": "x"}}
    node = {
        "id": "tvm",
        "state": "starttaskfailed",
        "allocationTime": "2026-06-01T10:00:00Z",
        "startTaskInfo": {"state": "completed", "exitCode": 3, "result": "failure"},
        "recentTasks": [task, {**task, "taskState": "completed"}],
    }

    seen = node_overview(node, NOW)

    assert seen.cause == "start task failed with exit code 3"
    assert [one.task_id for one in seen.running] == ["main"]
    assert seen.node_hours == 2.0
    assert node_overview({**node, "state": "deallocated"}, NOW).node_hours is None
    assert node_overview({"id": "tvm", "state": "idle"}, NOW).cause is None


@pytest.mark.parametrize(("found", "run"), [(marks(LIVE), LIVE), (marks(ABROAD), None), (PoolMarks(), None)])
def test_a_job_belongs_to_the_dag_run_that_this_airflow_started(found: PoolMarks, run: object) -> None:
    job = {"id": "j", "state": "active", "metadata": rest_metadata(found.to_metadata())}

    assert job_overview(job, US).run == run
    assert job_overview(job, None).run is None
