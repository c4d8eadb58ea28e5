"""Actions become runs of the maintenance Dag under the user's own right; no route acts on Azure."""

from __future__ import annotations

import re

import pytest

from airflow_provider_batchlinux.plugins._csrf import LIFETIME, is_valid, token_for
from tests.airflow_page import CONN, MAINTENANCE, Airflow
from tests.batch_account import BatchAccount
from tests.unit.plugins.test_access import ETL, put_pool, query

FORM = {"action": "extend", "conn": CONN, "pool": "ours", "hours": "8"}


@pytest.fixture
def pool(account: BatchAccount) -> str:
    put_pool(account, "ours", ETL)
    return "ours"


def token_on(airflow: Airflow, role: str) -> str:
    page = airflow.get(query("/action", "ours", action="extend", hours="8"), role).text
    found = re.search('name="csrf" value="([^"]+)"', page)
    return found[1] if found else ""


@pytest.mark.usefixtures("pool")
def test_the_form_starts_a_run_as_the_user_and_nothing_else(airflow: Airflow, account: BatchAccount) -> None:
    form = {**FORM, "csrf": token_on(airflow, "user")}
    before = [request for request in account.requests() if not request.startswith("GET")]

    answer = airflow.post("user", form)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"started?dag={MAINTENANCE}&run=r1"
    [(who, dag_id, body)] = airflow.started
    assert (who, dag_id) == ("the user", MAINTENANCE)
    assert body["conf"] == {"action": "extend", "conn_id": CONN, "pool_id": "ours", "hours": 8}
    assert [request for request in account.requests() if not request.startswith("GET")] == before
    assert "queued" in airflow.get(f"/{answer.headers['location']}", "user").text


@pytest.mark.usefixtures("pool")
def test_a_user_who_may_not_start_the_dag_gets_its_conf_and_no_form(airflow: Airflow) -> None:
    page = airflow.get(query("/action", "ours", action="extend", hours="8"), "viewer").text

    assert "<form" not in page
    assert "&#34;pool_id&#34;: &#34;ours&#34;" in page
    assert MAINTENANCE in page


@pytest.mark.usefixtures("pool")
def test_a_forged_form_starts_nothing(airflow: Airflow) -> None:
    token = token_on(airflow, "user")
    forged = [
        ("user", FORM, {}),
        ("user", {**FORM, "csrf": "1.x"}, {}),
        ("user", {**FORM, "csrf": f"9{token}"}, {}),
        ("admin", {**FORM, "csrf": token}, {}),
        ("user", {**FORM, "csrf": token}, {"sec-fetch-site": "cross-site"}),
        ("user", {**FORM, "csrf": token}, {"sec-fetch-site": "same-site"}),
    ]

    assert {airflow.post(role, form, **headers).status_code for role, form, headers in forged} == {403}
    assert airflow.get(f"/action?{'&'.join(f'{k}={v}' for k, v in FORM.items())}", "user").status_code == 200
    assert airflow.started == []


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"pool": "another"}, 404),
        ({"conn": "another"}, 404),
        ({"action": "format"}, 400),
        ({"hours": "-8"}, 400),
        ({"hours": "8" * 20_000}, 413),
    ],
)
def test_what_the_page_does_not_offer_starts_nothing(
    airflow: Airflow, changes: dict[str, str], status: int
) -> None:
    form = {**FORM, "csrf": token_on(airflow, "user"), **changes}

    assert airflow.post("user", form).status_code == status
    assert airflow.started == []


@pytest.mark.usefixtures("pool")
def test_without_a_maintenance_dag_there_are_no_actions(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_MAINTENANCE_DAG", "")

    assert "Delete pool" not in airflow.get(query("/pool", "ours")).text
    assert airflow.get(query("/action", "ours", action="delete")).status_code == 404


def test_a_token_is_for_one_user_and_one_hour() -> None:
    token = token_for("secret", "nora", 1_000)

    assert is_valid("secret", "nora", 1_000 + LIFETIME, token)
    assert not is_valid("secret", "nora", 1_001 + LIFETIME, token)
    assert not is_valid("secret", "otto", 1_000, token)
    assert not is_valid("other", "nora", 1_000, token)
    assert not is_valid("", "nora", 1_000, token_for("", "nora", 1_000))
    for forged in ("", ".", "x.y", "١٢.x", token.replace(".", ""), token + "é"):
        assert not is_valid("secret", "nora", 1_000, forged)
