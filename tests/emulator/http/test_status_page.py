"""The page on which a person sees what the account has."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.emulator.conftest import Account

EVIL = "<script>alert('&')<script>"


def asked(emulator: RunningEmulator, authorization: str, method: str = "GET") -> tuple[HTTPResponse, str]:
    headers = {"authorization": authorization} if authorization else {}
    with closing(HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=10)) as connection:
        connection.request(method, "/_emulator/status", headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()


def basic(password: str) -> str:
    return f"Basic {b64encode(f'emulator:{password}'.encode()).decode()}"


def test_the_status_page_shows_pools_nodes_jobs_tasks_and_requests(account: Account) -> None:
    account.create_pool(nodes=101)
    account.eventually("/pools/linux", lambda pool: pool["allocationState"] == "steady")
    account.send("POST", "/jobs", {"id": "etl", "poolInfo": {"poolId": "linux"}})
    account.send("POST", "/jobs/etl/tasks", {"id": "load", "commandLine": f"/bin/{EVIL}"})
    account.eventually("/jobs/etl/tasks/load", lambda task: task["state"] == "completed")
    account.send("GET", f"/pools/{EVIL}")

    response, page = asked(account.emulator, f"Bearer {account.emulator.control_token}")
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr><td>.*?</tr>", page)]

    assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert any(row[:4] == ["linux", "standard_d2s_v5", "active", "steady"] for row in rows)
    assert any(row[:3] == ["etl", "linux", "active"] and row[-1] == "1" for row in rows)
    assert any(row[:3] == ["etl", "load", "completed"] and "not found" in row[-1] for row in rows)
    assert sum(row[0] == "linux" and "tvmps_" in row[1] for row in rows) == 100
    assert "Only 100 are shown." in page
    assert any(row[0] == "404" and "&lt;script&gt;" in row[2] for row in rows)
    assert "<script" not in page
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        (basic("wrong"), 401),
        ("Basic !", 401),
        ("Basic {token}", 401),
        ("Bearer {token}", 200),
        ("Basic {basic}", 200),
    ],
)
def test_the_status_page_is_only_for_the_owner(account: Account, authorization: str, status: int) -> None:
    token = account.emulator.control_token
    given = authorization.format(token=token, basic=basic(token).removeprefix("Basic "))
    response, page = asked(account.emulator, given)

    assert response.status == status
    assert ("Batch account" in page) == (status == 200)
    # A browser asks for the token, and may be led to send it again: it opens this page and nothing else.
    assert status == 200 or response.headers["www-authenticate"].startswith("Basic ")
    assert asked(account.emulator, basic(token), "POST")[0].status == 401


def test_the_status_page_of_a_large_account_comes_soon(account: Account) -> None:
    account.create_pool(nodes=2_000)
    account.send("POST", "/jobs", {"id": "etl", "poolInfo": {"poolId": "none"}})
    for first in range(0, 2_000, 100):
        tasks = [{"id": f"t{number}", "commandLine": "true"} for number in range(first, first + 100)]
        account.send("POST", "/jobs/etl/addtaskcollection", {"value": tasks})
    account.eventually("/pools/linux", lambda pool: pool["allocationState"] == "steady")

    started = time.perf_counter()
    _, page = asked(account.emulator, basic(account.emulator.control_token))

    assert time.perf_counter() - started < 2
    assert len(page) < 100_000
