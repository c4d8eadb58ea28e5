"""Who may see what, and that hostile text is harmless: with Airflow's own auth manager and real logins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, Holder, rest_metadata
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, with_entry
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices
from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.airflow_page import CONN, MAINTENANCE, Airflow, served_page
from tests.batch_account import BatchAccount, eventually
from tests.conftest import INSTALLATION, set_connection
from tests.management_plane import connect
from tests.unit.core.overview.test_pools import NOW, marks

ROLES = ("admin", "viewer")
HOSTILE = "\"'><script>alert(1)</script>\x1b[2J\u202e{{ 7*7 }}"
ETL, GONE = Holder("etl", "live", INSTALLATION), Holder("deleted dag", "live", INSTALLATION)


def put_pool(account: BatchAccount, pool_id: str, holder: Holder | None, **user: Any) -> None:
    account.make_pool(pool_id, dedicated=1, start_task='printf "\\033[2J<b>bold</b>"', until={"idle": 1})
    metadata = marks(holder).to_metadata() if holder else {}
    if user:
        metadata = with_entry(metadata, LedgerEntry(**{"expires_at": NOW, **user}))
    body = {"metadata": rest_metadata(metadata)}
    account.hook.run(lambda client: client.update_pool(pool_id, body))


def query(path: str, pool_id: str, **more: str) -> str:
    return f"{path}?conn={CONN}&pool={pool_id}" + "".join(f"&{name}={value}" for name, value in more.items())


def pages(account: BatchAccount, pool_id: str) -> list[str]:
    [node] = account.nodes(pool_id)
    return [
        *(query(page, pool_id) for page in ("/pool", "/pool.json")),
        *(query(page, pool_id, node=node.node_id) for page in ("/node", "/node.json")),
        query("/action", pool_id, action="delete"),
    ]


GENERAL = ["/", "/pools.json", "/page.css", "/page.js", f"/started?dag={MAINTENANCE}&run=r1"]


def test_anonymous_visitors_are_refused_and_so_are_those_without_rights(airflow: Airflow) -> None:
    from airflow_provider_batchlinux.plugins._app import create_page

    application: Any = create_page()._app
    paths = [*GENERAL, *(route.path for route in application.routes), "/pool?conn=secret&pool=etl"]

    assert {"/pool", "/pool.json", "/node", "/node.json", "/action"} <= set(paths)
    assert {airflow.get(path, None).status_code for path in paths} == {401}
    assert {airflow.get(path, "none").status_code for path in paths} == {403}
    assert [airflow.post(role, {}).status_code for role in (None, "none")] == [401, 403]
    assert {airflow.get(path, "viewer").status_code for path in GENERAL} == {200}
    # FastAPI would describe all routes to anybody.
    assert {airflow.get(path, "admin").status_code for path in ("/docs", "/openapi.json")} == {404}


def test_a_viewer_sees_the_pools_of_dags_that_the_viewer_may_read(
    airflow: Airflow, account: BatchAccount
) -> None:
    put_pool(account, "ours", ETL)
    put_pool(account, "unreadable", GONE)
    put_pool(account, "foreign", None)

    def ids(role: str) -> set[str]:
        [seen] = airflow.get("/pools.json", role).json()["accounts"]
        return {pool["pool_id"] for pool in seen["pools"]} | {str(seen["hidden_pools"])}

    assert ids("viewer") == {"ours", "2"}
    assert ids("admin") == {"ours", "unreadable", "foreign", "0"}
    for pool_id in ("unreadable", "foreign"):
        for path in pages(account, pool_id):
            assert airflow.get(path, "viewer").status_code == 404, path
            assert airflow.get(path, "admin").status_code == 200, path
    assert {airflow.get(path, "viewer").status_code for path in pages(account, "ours")} == {200}
    text = airflow.get("/", "viewer").text
    assert "unreadable" not in text
    assert "2 other pools not shown" in text


def test_only_configured_connections_are_shown(
    airflow: Airflow, account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", '{"conn_type": "azure_batch_linux"}')

    for path in ("/pool?conn=another&pool=etl", "/action?conn=another&pool=etl&action=delete"):
        answer = airflow.get(path)
        assert answer.status_code == 404
        assert "does not show this connection" in answer.text


class Markup(HTMLParser):
    """The tags of a page, and its scripts and handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        risky = [name for name, _ in attrs if name.startswith("on") or name == "style"]
        sources = [value or "" for name, value in attrs if name in ("src", "href", "action")]
        risky += [value for value in sources if re.match(r"(?i)\s*(javascript|data|https?:|//)", value)]
        if tag == "script" and ("src", "page.js") not in attrs:
            risky.append("script")
        self.found += [*risky, *([tag] if tag in ("b1", "iframe", "img", "object", "style") else [])]


def test_hostile_text_is_harmless_on_every_page(airflow: Airflow, account: BatchAccount) -> None:
    put_pool(
        account, "hostile", ETL, username=HOSTILE, by={"dag_id": HOSTILE, "run_id": HOSTILE}, key=HOSTILE
    )
    account.put_node("unusable", pool_id="hostile", errors=[{"code": "DiskFull", "message": HOSTILE}])
    paths = [*pages(account, "hostile"), "/", f"/?q={'%22%3E%3Cscript%3E'}&show=%3Cscript%3E&sort=x"]
    revoke = query("/action", "hostile", action="revoke", username="%3Cscript%3Ealert(1)%3C/script%3E")

    for path in [*paths, revoke, "/pool?conn=%3Cscript%3E&pool=x", "/%3Cscript%3E"]:
        answer = airflow.get(path)
        if answer.headers["content-type"] == "application/json":
            assert "\x1b" not in answer.text
            json.loads(answer.text)
        else:
            assert Markup(answer.text).found == [], path
            assert not re.search("[\x1b\u202e]|<script>|>49<", answer.text), path
    assert "\\x1b[2J" in airflow.get(pages(account, "hostile")[2]).text
    assert "&lt;script&gt;alert(1)" in airflow.get(query("/pool", "hostile")).text


def test_every_answer_forbids_foreign_scripts_frames_and_caches(airflow: Airflow) -> None:
    for path, role in (("/", "admin"), ("/page.css", "admin"), ("/", None), ("/nothing", "admin")):
        headers = airflow.get(path, role).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_quotas_are_for_those_who_may_read_the_connection(
    airflow: Airflow, secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure_emulator.control.set_quota(dedicated_cores=16)
    connect(monkeypatch, secure_emulator)

    def quotas(role: str) -> list[str]:
        [seen] = airflow.get("/pools.json", role).json()["accounts"]
        return [quota["name"] for quota in seen["quotas"]]

    eventually(lambda: "dedicated cores" in quotas("admin"))
    assert quotas("viewer") == []


def test_no_secret_is_on_any_page(airflow: Airflow, account: BatchAccount) -> None:
    put_pool(account, "ours", ETL)
    paths = [*GENERAL, *pages(account, "ours"), query("/pool", "nowhere")]
    signed = account.service.key

    assert not [path for path in paths if signed in airflow.get(path).text]


def test_prices_are_those_of_the_file_that_the_command_line_writes(
    airflow: Airflow, account: BatchAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    account.idle_pool(2)
    prices = NodePrices("Standard_D2s_v5", "westeurope", "EUR", 0.25, 0.05)
    row = {"vm_size": prices.vm_size, "region": prices.region, **prices.to_dict()}
    (tmp_path / "prices.json").write_text(json.dumps([row]))
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_PRICES_FILE", str(tmp_path / "prices.json"))

    [pool] = airflow.get("/pools.json").json()["accounts"][0]["pools"]

    assert (pool["price_per_hour"], pool["currency"]) == (0.5, "EUR")
    assert pool["cost_since_resize"] is not None
    assert "0.50 EUR an hour" in airflow.get("/").text
    (tmp_path / "prices.json").write_text("[{}]")
    assert "EUR" not in airflow.get("/").text


def test_a_service_that_is_away_or_refuses_is_told_with_what_to_do(
    airflow: Airflow, account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "d3Jvbmcga2V5"
    set_connection(monkeypatch, account.service, key=key, retry_budget=0)

    text = airflow.get("/").text

    assert "The account cannot be read." in text
    assert "It may lack the identity or the network of the workers" in text
    assert key not in text
    # What the connection is, and what the service says of it, is for those who may read it.
    for_viewers = airflow.get("/", "viewer").text
    assert "The account cannot be read." in for_viewers
    assert "Those who may read its connection see why." in for_viewers
    assert not [word for word in ("AuthenticationFailed", "127.0.0.1", "identity") if word in for_viewers]


def test_looks_of_many_users_cost_two_requests(airflow: Airflow, account: BatchAccount) -> None:
    put_pool(account, "ours", ETL)
    airflow.get("/")
    eventually(lambda: len([r for r in account.requests() if "supportedimages" in r]) == 1)
    before = account.requests()
    for role in ("admin", "viewer", "op"):
        airflow.get("/pools.json", role)
    asked = [request for request in before if request in ("GET /pools", "GET /nodecounts")]

    assert account.requests() == before
    # The first of each is this test's own look at its pool.
    assert asked[-2:] in (["GET /pools", "GET /nodecounts"], ["GET /nodecounts", "GET /pools"])


def test_the_page_works_behind_a_path_and_its_links_stay_below_it(
    auth: Callable[[str], str], account: BatchAccount
) -> None:
    put_pool(account, "ours", ETL)
    with served_page(auth, root_path="/team/airflow") as airflow:
        answer = airflow.request(
            "GET", "/", airflow.headers("viewer"), base_url="http://airflow/team/airflow"
        )
    assert answer.status_code == 200
    addresses = re.findall('(?:href|src|action)="([^"]*)"', answer.text)

    assert "../dags/etl" in addresses
    assert not [address for address in addresses if address.startswith("/")]


def test_metadata_that_no_database_holds_shows_like_any_other(
    auth: Callable[[str], str], account: BatchAccount
) -> None:
    from airflow_provider_batchlinux.plugins._airflow import run_states
    from airflow_provider_batchlinux.plugins._pages import AsciiJson, airflow_address

    account.make_pool("strange")
    name = f"{METADATA_PREFIX}holders"
    for odd in ("live\ud83d", "li\0ve", "x"):
        holders = json.dumps([[odd, odd, INSTALLATION]])
        metadata = rest_metadata({**marks(ETL).to_metadata(), name: holders})
        account.hook.run(
            partial(BatchLinuxClient.update_pool, pool_id="strange", body={"metadata": metadata})
        )
        with served_page(auth) as airflow:
            for path in ("/", "/pools.json", query("/pool", "strange"), query("/pool.json", "strange")):
                assert airflow.get(path).status_code == 200, (odd, path)
    for odd in ("x\ud83d", "\0"):
        assert run_states([Holder(odd, odd, odd)]) == {}
        assert airflow_address(odd, odd)
        assert json.loads(bytes(AsciiJson({"a": odd}).body)) == {"a": odd}


def test_a_viewer_sees_no_task_of_jobs_that_the_viewer_may_not_see(
    airflow: Airflow, account: BatchAccount
) -> None:
    put_pool(account, "ours", ETL)

    async def run(client: BatchLinuxClient) -> None:
        await client.create_job({"id": "job-of-others", "poolInfo": {"poolId": "ours"}})
        await client.create_task("job-of-others", {"id": "main", "commandLine": "sleep 60"})

    account.hook.run(run)
    eventually(lambda: account.nodes("ours")[0].state == "running")
    seen = {role: [airflow.get(path, role).text for path in pages(account, "ours")[:4]] for role in ROLES}

    assert [path for path in seen["viewer"] if "job-of-others" in path] == []
    assert [("job-of-others" in path) for path in seen["admin"]] == [True] * 4


def test_no_answer_sends_to_the_host_that_a_request_names(airflow: Airflow) -> None:
    answers = [airflow.get("/pool/", role, host="elsewhere.example") for role in (None, "admin")]

    assert [("location" in answer.headers, answer.status_code) for answer in answers] == [(False, 404)] * 2
