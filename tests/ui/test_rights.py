"""The page under a real Airflow, as an admin, a viewer, and a user without rights."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi
from tests.e2e.standalone import Standalone
from tests.ui.conftest import CONN, DAG, Runs, token_of


def get(airflow: Standalone, name: str | None, path: str) -> httpx.Response:
    cookies = {} if name is None else {"_token": token_of(airflow, name)}
    return httpx.get(f"{airflow.url}/batch-pools{path}", cookies=cookies, timeout=180)


def pools(airflow: Standalone, name: str) -> dict[str, Any]:
    [seen] = get(airflow, name, "/pools.json").json()["accounts"]
    return {pool["pool_id"]: pool for pool in seen["pools"]}


def test_airflow_offers_the_page(api: AirflowApi) -> None:
    [found] = [
        one for one in api.get("/api/v2/plugins", limit=100)["plugins"] if one["name"] == "batch_linux_pools"
    ]

    assert [view["category"] for view in found["external_views"]] == ["browse"]
    assert [app["url_prefix"] for app in found["fastapi_apps"]] == ["/batch-pools"]


def test_three_users_see_what_they_may(airflow: Standalone, runs: Runs) -> None:
    assert get(airflow, None, "/").status_code == 401
    assert get(airflow, "nob", "/").status_code == 403
    ours = {"nightly-etl", "broken-start", "forgotten"}
    # Other tests make pools by Dags, too, which all may read.
    assert pools(airflow, "vic").keys() & {*ours, "hostile"} == ours
    seen = pools(airflow, "ann")
    assert seen.keys() >= {*ours, "hostile"}
    assert (seen["nightly-etl"]["standing"], seen["hostile"]["standing"]) == ("live", "foreign")


def test_the_task_links_to_its_pool(runs: Runs) -> None:
    link = runs.live.links("create")["Pool in Airflow"]

    assert link == f"/batch-pools/pool?conn={CONN}&pool=nightly-etl"


def test_a_viewer_cannot_start_an_action(airflow: Standalone, runs: Runs) -> None:
    answer = get(airflow, "vic", f"/action?action=delete&conn={CONN}&pool=forgotten")

    assert answer.status_code == 200, answer.text
    assert "csrf" not in answer.text
    assert "&#34;action&#34;: &#34;delete&#34;" in answer.text


def test_an_action_of_an_admin_is_a_run_with_an_entry_in_the_audit_log(
    airflow: Standalone, runs: Runs, api: AirflowApi, account: Account
) -> None:
    with httpx.Client(
        base_url=airflow.url, cookies={"_token": token_of(airflow, "ann")}, timeout=180
    ) as client:
        page = client.get(f"/batch-pools/action?action=extend&hours=3&conn={CONN}&pool=forgotten").text
        form = dict(re.findall('<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        answer = client.post("/batch-pools/action", data=form)

    assert answer.status_code == 303, answer.text
    run_id = httpx.URL(answer.headers["location"]).params["run"]
    api.send("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
    run = until(lambda: _ended(api, run_id), "the maintenance Dag", limit=120)
    assert run["state"] == "success"
    assert run["triggering_user_name"] == "ann"
    logged = api.get("/api/v2/eventLogs", dag_id=DAG, event="trigger_dag_run")["event_logs"]
    # Another test extends another pool.
    ours = [entry for entry in logged if '"forgotten"' in (entry["extra"] or "")]
    assert [entry["owner"] for entry in ours] == ["ann"], logged
    until(lambda: pools(airflow, "ann")["forgotten"]["expires_at"], "the new end", limit=30)
    assert pools(airflow, "ann")["forgotten"]["standing"] == "over"


@pytest.mark.parametrize("name", ["vic", "nob"])
def test_a_form_of_a_user_without_the_right_starts_nothing(
    airflow: Standalone, runs: Runs, name: str
) -> None:
    form = {"action": "delete", "conn": CONN, "pool": "forgotten", "csrf": "1.x"}
    cookies = {"_token": token_of(airflow, name)}

    assert httpx.post(f"{airflow.url}/batch-pools/action", data=form, cookies=cookies).status_code == 403


def _ended(api: AirflowApi, run_id: str) -> Any:
    run = api.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}")
    return run if run["state"] in ("success", "failed") else None
