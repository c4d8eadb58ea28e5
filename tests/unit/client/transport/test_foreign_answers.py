"""Answers that are not the service's: every operation tries again, and says so when that does not help."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import task_file
from airflow_provider_batchlinux.client.transport import session
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.core.tasks.result import FileEnd
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchUnreachableError
from tests.airflow_harness import run_task
from tests.batch_account import NODE_AGENT, UBUNTU, BatchAccount
from tests.chaos import (
    FAULTS,
    PAGE,
    ChaosProxy,
    Choose,
    Fault,
    Script,
    answer_of,
    body_of,
    chaos_proxy,
    instead,
    no_fault,
    with_body,
)
from tests.unit.client.sessions import run
from tests.unit.commands import operator

Scenario = Callable[[BatchLinuxClient, str], Awaitable[Any]]


PORTAL = [
    pytest.param(answer_of("200 OK", PAGE), id="page"),
    pytest.param(answer_of("200 OK", ""), id="empty"),
    pytest.param(answer_of("200 OK", '{"status": "ok"}', "application/json"), id="json"),
    pytest.param(answer_of("204 No Content", ""), id="no content"),
    pytest.param(answer_of("202 Accepted", PAGE), id="accepted"),
    pytest.param(answer_of("302 Found", PAGE, Location="/sign-in"), id="redirection"),
]
BODIES = {
    "empty": b"",
    "page": PAGE.encode(),
    "cut": b'{"odata.metadata": "x", "id": "et',
    "empty object": b"{}",
    "another object": b'{"message": "ok"}',
    "list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "number": b"7",
    "not UTF-8": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
    "no list": b'{"odata.metadata": "x", "value": null}',
    "list of numbers": b'{"odata.metadata": "x", "value": [1]}',
}


@pytest.fixture
def proxy(account: BatchAccount) -> Iterator[ChaosProxy]:
    """Give a proxy that lets all pass until it is told otherwise, before a job whose command has ended."""
    account.idle_pool(1)
    run_task(operator("echo hello", delete_job="never"))
    with chaos_proxy(account.service.endpoint, no_fault) as running:
        yield running


class Through:
    """One operation through the proxy, tried again without waiting for real."""

    def __init__(self, proxy: ChaosProxy, account: BatchAccount) -> None:
        self._settings = replace(account.hook.settings(), endpoint=proxy.url)
        self._job_id = account.jobs()[0]
        self._proxy = proxy
        self._now = 0.0

    def run(self, scenario: Scenario, choose: Choose | None = None) -> Any:
        if choose is not None:
            self._proxy.choose = choose
        policy = RetryPolicy(budget=60.0, sleep=self._sleep, clock=lambda: self._now)
        return run(self._settings, lambda client: scenario(client, self._job_id), policy)

    async def _sleep(self, seconds: float) -> None:
        self._now += seconds

    def outcome(self, scenario: Scenario, choose: Choose | None = None) -> Any:
        """Return the result of an operation, or its error."""
        try:
            return self.run(scenario, choose)
        except Exception as error:
            return error


@pytest.fixture
def through(proxy: ChaosProxy, account: BatchAccount) -> Through:
    return Through(proxy, account)


async def _node_call(client: BatchLinuxClient, verb: str, *args: Any) -> Any:
    [node] = await client.list_nodes("etl")
    return await getattr(client, verb)("etl", node.node_id, *args)


OTHER_POOL = {
    "id": "other",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT},
}
READS: dict[str, tuple[str, Scenario]] = {
    "check": ("/pools", lambda client, _: client.check()),
    "list pools": ("/pools", lambda client, _: client.list_pools(["id"])),
    "list images": ("/supportedimages", lambda client, _: client.list_images()),
    "get pool": ("/pools/etl", lambda client, _: client.find_pool("etl")),
    "list nodes": ("/pools/etl/nodes", lambda client, _: client.list_nodes("etl")),
    "count nodes": ("/nodecounts", lambda client, _: client.node_counts("etl")),
    "get job": ("/jobs/", lambda client, job: client.find_job(job)),
    "list jobs": ("/jobs", lambda client, _: client.find_jobs("af")),
    "get task": ("/tasks/main", lambda client, job: client.find_task(job, "main")),
}
# In an order in which each succeeds after those before it.
OTHERS: dict[str, tuple[str, str, Scenario]] = {
    "create pool": ("POST", "/pools", lambda client, _: client.create_pool(OTHER_POOL)),
    "update pool": ("PATCH", "/pools", lambda client, _: client.update_pool("etl", {"metadata": []})),
    "add user": ("POST", "/users", lambda client, _: _node_call(client, "create_node_user", {"name": "u"})),
    "remove user": ("DELETE", "/users/", lambda c, _: _node_call(c, "delete_node_user", "nobody")),
    "create job": ("POST", "/jobs", lambda c, _: c.create_job({"id": "x", "poolInfo": {"poolId": "etl"}})),
    "file size": (
        "HEAD",
        "/files/",
        lambda client, job: task_file(client, job, "main", "stdout.txt").tail(9),
    ),
    "file": ("GET", "/files/", lambda client, job: task_file(client, job, "main", "stdout.txt").tail(9)),
    "end task": ("POST", "/terminate", lambda client, job: client.terminate_task(job, "main")),
    "reboot": ("POST", "/reboot", lambda client, _: _node_call(client, "reboot_node")),
    "resize pool": ("POST", "/resize", lambda c, _: c.resize_pool("etl", {"targetDedicatedNodes": 2})),
    "delete job": ("DELETE", "/jobs/", lambda client, job: client.delete_job(job)),
    "delete pool": ("DELETE", "/pools/etl", lambda client, _: client.delete_pool("etl")),
}
ALL = {**{name: ("GET", *rest) for name, rest in READS.items()}, **OTHERS}


@pytest.mark.parametrize("answer", PORTAL)
def test_an_answer_of_a_portal_is_asked_for_again(through: Through, proxy: ChaosProxy, answer: bytes) -> None:
    for method, path, scenario in ALL.values():
        through.run(scenario, Script(instead(answer), method=method, path=path))

    assert len(proxy.happened) == len(ALL)


def test_a_body_that_was_changed_in_transit_is_asked_for_again(through: Through, proxy: ChaosProxy) -> None:
    expected = {what: through.run(scenario) for what, (_, scenario) in READS.items()}
    found = {}
    for name, body in BODIES.items():
        changed = Fault("changed", partial(with_body, body=body), "after")
        for what, (path, scenario) in READS.items():
            found[what, name] = through.outcome(scenario, Script(changed, method="GET", path=path))

    assert found == {(what, name): expected[what] for name in BODIES for what in READS}
    assert len(proxy.happened) == len(BODIES) * len(READS)


@pytest.mark.parametrize("missing", [pytest.param(1, id="cut"), pytest.param(6, id="empty")])
def test_a_file_that_comes_cut_is_asked_for_again(through: Through, proxy: ChaosProxy, missing: int) -> None:
    cut = Fault("cut", lambda answer: with_body(answer, body_of(answer)[:-missing]), "after")

    content = through.run(OTHERS["file"][2], Script(cut, method="GET", path="/files/"))

    assert content == FileEnd(b"hello\n")
    assert len(proxy.happened) == 1


def test_a_portal_that_stays_is_named_in_a_sentence(through: Through) -> None:
    for method, path, scenario in ALL.values():
        page = Script(instead(answer_of("200 OK", PAGE)), method=method, path=path, times=None)
        with pytest.raises(BatchUnreachableError) as caught:
            through.run(scenario, page)

        said = str(caught.value)
        assert "The answer is not the service's own: HTTP 200, text/html, without a request id." in said
        assert "A proxy or its sign-in page may have answered" in said


def test_an_error_of_a_proxy_is_an_error_in_words_whatever_its_body(through: Through) -> None:
    found = {}
    # Each status with some bodies, and each body with a status that lasts and one that is tried again.
    statuses = (400, 401, 403, 404, 407, 409, 412, 500, 502)
    for status, name in product(statuses, BODIES):
        if status not in (403, 502) and name not in ("page", "cut", "too deep"):
            continue
        answer = with_body(answer_of(f"{status} Refused", ""), BODIES[name])
        for path, scenario in (READS["get pool"], OTHERS["file"][1:]):
            script = Script(instead(answer), path=path, times=None)
            found[status, name, path] = through.outcome(scenario, script)

    said = re.compile(r"^Could not (get pool|read)")
    wrong = {
        case: error
        for case, error in found.items()
        if not isinstance(error, BatchLinuxError) or not said.search(str(error))
    }
    assert wrong == {}


def test_a_refusal_that_is_not_the_services_points_at_the_proxy(through: Through) -> None:
    page = Script(instead(answer_of("403 Forbidden", PAGE)), times=None)

    with pytest.raises(BatchLinuxError, match="A proxy or its sign-in page may have answered"):
        through.run(READS["get pool"][1], page)


def test_every_chance_fault_is_survived(
    through: Through, proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "READ_TIMEOUT", 1.0)

    for fault in FAULTS:
        pool = through.run(READS["get pool"][1], Script(fault, method="GET", path="/pools/etl"))
        assert pool.pool_id == "etl"

    assert len(proxy.happened) == len(FAULTS)
