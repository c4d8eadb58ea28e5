"""Conditional requests on what has a version, and ``$expand``."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

VERSION = "api-version=2025-06-01"
PLACES = ["/pools/linux", "/jobs/job", "/jobs/job/tasks/task", "/jobschedules/nightly"]


@pytest.fixture
def resources(client: BatchClient, make_pool: Any) -> None:
    """Make a pool without nodes, a job, a task that waits and a schedule."""
    make_pool(dedicated=0)
    pool_info = models.BatchPoolInfo(pool_id="linux")
    client.create_job(models.BatchJobCreateOptions(id="job", pool_info=pool_info))
    client.create_task("job", models.BatchTaskCreateOptions(id="task", command_line="/bin/true"))
    schedule = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))
    specification = models.BatchJobSpecification(pool_info=pool_info)
    client.create_job_schedule(
        models.BatchJobScheduleCreateOptions(id="nightly", schedule=schedule, job_specification=specification)
    )


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        pytest.param("if-match", "{etag}", 200, id="match-bare"),
        pytest.param("if-match", '"{etag}"', 200, id="match-quoted"),
        pytest.param("if-match", "*", 200, id="match-any"),
        pytest.param("if-match", 'W/"{etag}"', 200, id="match-weak"),
        pytest.param("if-match", '"0x1", "{etag}"', 200, id="match-one-of-two"),
        pytest.param("if-match", "0x1", 304, id="match-other"),
        pytest.param("if-match", "{etag}0", 304, id="match-longer"),
        pytest.param("if-none-match", "*", 304, id="none-match-any"),
        pytest.param("if-none-match", "{etag}", 304, id="none-match"),
        pytest.param("if-none-match", "0x1", 200, id="none-match-other"),
        pytest.param("if-modified-since", "{now}", 304, id="modified-since-now"),
        pytest.param("if-modified-since", "{before}", 200, id="modified-since-before"),
        pytest.param("if-unmodified-since", "{now}", 200, id="unmodified-since-now"),
        pytest.param("if-unmodified-since", "{before}", 304, id="unmodified-since-before"),
        pytest.param("if-modified-since", "yesterday", 400, id="no-date"),
    ],
)
def test_a_read_is_answered_only_if_its_condition_holds(
    send: Any, place: str, header: str, value: str, status: int
) -> None:
    answer = send("GET", f"{place}?{VERSION}", headers={header: _filled(send, place, value)})

    assert answer.status == status
    assert bool(answer.content) == (status != 304)


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PATCH", "/pools/linux"),
        ("DELETE", "/pools/linux"),
        ("POST", "/pools/linux/resize"),
        ("PATCH", "/jobs/job"),
        ("POST", "/jobs/job/terminate"),
        ("DELETE", "/jobs/job"),
        ("POST", "/jobs/job/tasks/task/terminate"),
        ("DELETE", "/jobs/job/tasks/task"),
        ("PATCH", "/jobschedules/nightly"),
        ("PUT", "/jobschedules/nightly"),
        ("POST", "/jobschedules/nightly/disable"),
        ("POST", "/jobschedules/nightly/enable"),
        ("POST", "/jobschedules/nightly/terminate"),
        ("DELETE", "/jobschedules/nightly"),
    ],
)
@pytest.mark.parametrize(
    ("header", "value"), [("if-match", '"0x1"'), ("if-unmodified-since", "Thu, 01 Jan 2026 00:00:00 GMT")]
)
def test_a_write_is_refused_if_its_condition_does_not_hold(
    send: Any, method: str, target: str, header: str, value: str
) -> None:
    body = b'{"targetDedicatedNodes":0}' if target.endswith("resize") else b""
    answer = send(method, f"{target}?{VERSION}", body, headers={header: value})

    assert (answer.status, answer.body["code"]) == (412, "ConditionNotMet")
    sentence = answer.body["message"]["value"].partition("\n")[0]
    assert sentence == "The condition specified using HTTP conditional header(s) is not met."


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("place", ["/pools/linux", "/jobschedules/nightly"])
def test_whether_something_exists_is_asked_with_conditions_too(send: Any, place: str) -> None:
    etag = send("HEAD", f"{place}?{VERSION}").headers["etag"]

    assert send("HEAD", f"{place}?{VERSION}", headers={"if-none-match": etag}).status == 304
    assert send("HEAD", f"{place}?{VERSION}", headers={"if-match": etag}).status == 200


@pytest.mark.usefixtures("resources")
def test_a_change_of_a_schedule_changes_its_etag(send: Any) -> None:
    place = f"/jobschedules/nightly?{VERSION}"
    etag = send("GET", place).headers["etag"]
    change = b'{"schedule": {"recurrenceInterval": "PT2H"}}'

    assert send("PATCH", place, change, {"if-match": etag}).status == 200
    assert send("PATCH", place, change, {"if-match": etag}).status == 412
    assert send("GET", place).headers["etag"] != etag


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_sent_if_it_was_changed_since(send: Any, run_task: Any, method: str) -> None:
    run_task("/bin/echo hello")
    place = "/jobs/job/tasks/task/files/stdout.txt"
    now, before = (_filled(send, place, text) for text in ("{now}", "{before}"))

    def status(header: str, value: str) -> int:
        found: int = send(method, f"{place}?{VERSION}", headers={header: value}).status
        return found

    assert (status("if-modified-since", now), status("if-modified-since", before)) == (304, 200)
    assert (status("if-unmodified-since", now), status("if-unmodified-since", before)) == (200, 304)
    assert status("if-modified-since", "yesterday") == 400


@pytest.mark.usefixtures("resources")
def test_the_sdk_changes_only_an_unchanged_resource(client: BatchClient) -> None:
    job = client.get_job("job")
    change = models.BatchJobUpdateOptions(priority=5)
    client.update_job("job", change, etag=job.etag, match_condition=MatchConditions.IfNotModified)

    with pytest.raises(HttpResponseError):
        client.update_job("job", change, etag=job.etag, match_condition=MatchConditions.IfNotModified)


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("place", ["/pools", "/jobs", "/jobs/job/tasks", *PLACES])
def test_statistics_may_be_asked_for(send: Any, place: str) -> None:
    assert send("GET", f"{place}?{VERSION}&$expand=stats").status == 200


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("target", ["/pools?$expand=nodes", "/pools/linux/nodes?$expand=stats"])
def test_nothing_else_can_be_expanded(send: Any, target: str) -> None:
    answer = send("GET", f"{target}&{VERSION}")

    assert (answer.status, answer.body["code"]) == (400, "InvalidQueryParameterValue")


def _filled(send: Any, place: str, value: str) -> str:
    headers = send("GET", f"{place}?{VERSION}").headers
    modified = parsedate_to_datetime(headers["last-modified"])
    before = format_datetime(modified - timedelta(hours=1), usegmt=True)
    return value.format(etag=headers.get("etag"), now=headers["last-modified"], before=before)
