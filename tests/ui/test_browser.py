"""The page in Chromium: inside Airflow and alone, light and dark, wide and small, down to an action."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.account import Account
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone
from tests.ui.conftest import CONN, DAG, PASSWORD, SHOTS, Runs

PATIENCE = 180_000
"""Milliseconds: Airflow's own pages take a minute on a busy machine."""

WIDE, SMALL = {"width": 1500, "height": 950}, {"width": 390, "height": 844}


class Visit:
    """A user's browser window, which fails the test if a script fails or the policy is broken."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("console", self._heard)

    def open(self, path: str) -> None:
        """Open a page. Those of Airflow never stop to send requests."""
        self.page.goto(f"{self.url}{path}", wait_until="load")

    def shoot(self, name: str) -> None:
        """Take a picture for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True, timeout=PATIENCE)

    def log_in(self, name: str) -> None:
        """Log in by Airflow's form."""
        self.open("/auth/login")
        self.page.fill('input[name="username"]', name)
        self.page.fill('input[name="password"]', PASSWORD)
        self.page.click('button[type="submit"]')
        self.page.wait_for_url(re.compile(r"^(?!.*/login)"), wait_until="commit")

    def _heard(self, message: Any) -> None:
        if "Content Security Policy" in message.text and "batch-pools" in str(message.location):
            self.complaints.append(message.text)


def visits(browser: Any, airflow: Standalone, name: str, scheme: str, size: Any) -> Iterator[Visit]:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    visit = Visit(context.new_page(), airflow.url)
    visit.log_in(name)
    yield visit
    context.close()
    assert visit.complaints == []


@pytest.fixture(params=["light wide", "dark wide", "light small", "dark small"])
def visit(browser: Any, airflow: Standalone, runs: Runs, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Log in as the admin, in each theme and size."""
    scheme, size = request.param.split()
    for visit in visits(browser, airflow, "ann", scheme, WIDE if size == "wide" else SMALL):
        visit.page.look = request.param.replace(" ", "-")
        yield visit


def test_all_pages_look_right_and_stay_inside_the_window(visit: Visit) -> None:
    page, look = visit.page, visit.page.look
    visit.open("/batch-pools/")
    assert page.locator(".pool").all_inner_texts()[0] in ("forgotten", "broken-start")
    visit.shoot(f"1-overview-{look}")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    page.click("text=broken-start")
    assert page.locator("td .bad").first.inner_text() == "start task failed with exit code 100"
    visit.shoot(f"2-broken-pool-{look}")
    assert page.evaluate(overflow) <= 0
    page.locator("td a[href^=node]").first.click()
    assert "no such package: nosuch" in page.locator("pre").first.inner_text()
    visit.shoot(f"3-broken-node-{look}")
    visit.open(f"/batch-pools/pool?conn={CONN}&pool=nightly-etl")
    assert page.locator("text=nora").count()
    visit.shoot(f"4-live-pool-{look}")
    assert page.evaluate(overflow) <= 0
    page.locator("tr", has_text="main").locator("a[href^=node]").first.click()
    assert "of the transformation" in page.locator("pre").last.inner_text()
    visit.shoot(f"5-live-node-{look}")
    visit.open(f"/batch-pools/pool?conn={CONN}&pool=hostile")
    visit.shoot(f"6-hostile-pool-{look}")
    assert page.locator("img").count() == 0
    visit.open(f"/batch-pools/action?action=delete&conn={CONN}&pool=forgotten")
    visit.shoot(f"7-action-{look}")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 24)"
    assert dark == look.startswith("dark")


@pytest.fixture
def admin(browser: Any, airflow: Standalone, runs: Runs) -> Iterator[Visit]:
    """Log in as the admin."""
    yield from visits(browser, airflow, "ann", "light", WIDE)


def test_the_page_is_inside_airflow_and_its_links_open_there(admin: Visit) -> None:
    admin.open("/")
    admin.page.get_by_role("button", name=re.compile("Browse")).click()
    admin.page.get_by_text("Batch pools").click()
    frame = admin.page.frame_locator("iframe")
    frame.locator("text=nightly-etl").first.wait_for()
    admin.shoot("8-in-airflow")
    frame.locator("a[data-airflow]", has_text="nightly_etl").first.click()
    admin.page.wait_for_url(re.compile("/dags/nightly_etl"), wait_until="commit")
    admin.page.locator("iframe").wait_for(state="detached")
    admin.shoot("9-dag-from-the-page")


def test_an_action_starts_a_run_that_the_audit_log_names(admin: Visit, api: AirflowApi) -> None:
    admin.open("/plugin/batch_pools")
    frame = admin.page.frame_locator("iframe")
    frame.locator("a.pool", has_text="broken-start").click()
    frame.locator("text=Extend by 8 h").click()
    frame.locator("button", has_text="Extend").click()
    frame.locator("h1", has_text="Started").wait_for()
    admin.shoot("10-started")
    started = {run["dag_run_id"]: run["conf"] for run in api.get(f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]}
    extend = {"action": "extend", "conn_id": CONN, "pool_id": "broken-start", "hours": 8}
    [run_id] = [run_id for run_id, conf in started.items() if extend.items() <= conf.items()]
    api.send("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
    assert Run(api, DAG, run_id).wait() == "success"
    frame.locator("a", has_text=run_id).click()
    admin.page.wait_for_url(re.compile(f"/dags/{DAG}/runs/"), wait_until="commit")
    admin.page.get_by_text("choose").first.wait_for()
    admin.shoot("11-run-of-the-action")
    admin.open(f"/dags/{DAG}/events")
    admin.page.get_by_text("trigger_dag_run").first.wait_for()
    admin.shoot("12-audit-log")
    assert "ann" in admin.page.locator("tr", has_text="trigger_dag_run").first.inner_text()


def test_a_viewer_gets_what_to_copy(browser: Any, airflow: Standalone, runs: Runs) -> None:
    for visit in visits(browser, airflow, "vic", "light", WIDE):
        visit.open(f"/batch-pools/action?action=delete&conn={CONN}&pool=forgotten")
        assert '"pool_id": "forgotten"' in visit.page.locator("pre").inner_text()
        assert visit.page.locator("form").count() == 0
        visit.shoot("13-action-of-a-viewer")


def test_a_user_without_rights_is_told(browser: Any, airflow: Standalone, runs: Runs) -> None:
    for visit in visits(browser, airflow, "nob", "light", WIDE):
        visit.open("/batch-pools/")
        assert "Not allowed" in visit.page.locator("h1").inner_text()
        visit.shoot("14-without-rights")


def test_the_link_of_a_task_leads_to_its_pool(admin: Visit, runs: Runs) -> None:
    admin.open(f"/dags/nightly_etl/runs/{runs.live.run_id}/tasks/create/details")
    admin.page.get_by_text("Pool in Airflow").wait_for()
    admin.shoot("15-task")
    admin.page.get_by_text("Pool in Airflow").click()
    admin.page.wait_for_url(re.compile("/batch-pools/pool"))
    assert admin.page.locator("h1").inner_text().startswith("nightly-etl")


def test_the_connection_form_begins_with_url_account_and_key_and_its_test_names_the_cause(
    admin: Visit, account: Account, api: AirflowApi
) -> None:
    admin.open("/connections")
    page, settings = admin.page, account.service.settings
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator('input[name="connection_id"]').fill("tried")
    form.get_by_role("combobox").fill("Azure Batch (Linux)")
    page.keyboard.press("Enter")
    form.get_by_text("Account URL").wait_for()
    shown = [field.get_attribute("name") for field in form.locator("input:visible, textarea:visible").all()]
    admin.shoot("16-connection-form")
    named = [name for name in shown if name in ("host", "login", "password", "port")]
    assert named == ["host", "login", "password", "port"]
    form.locator('input[name="host"]').fill(settings.endpoint)
    form.locator('input[name="login"]').fill(settings.account_name)
    form.locator('input[name="password"]').fill("bm90IHRoZSBrZXk=")
    # Airflow 3.3 cannot test a connection without a port.
    form.locator('input[name="port"]').fill("443")
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="detached")
    page.get_by_role("button", name="Test Connection").first.click()
    page.get_by_text("Test Connection Failed").wait_for()
    admin.shoot("17-connection-test-fails")
    assert page.get_by_text("The account name or key is wrong").count()
    path, key = "/api/v2/connections/tried", settings.account_key
    stored = {**api.get(path), "password": key}
    api.send("PATCH", f"{path}?update_mask=password", stored)
    page.get_by_role("button", name="Test Connection").first.click()
    page.get_by_text("Test Connection Successful").wait_for()
    admin.shoot("18-connection-test-succeeds")


def test_filters_sort_and_find(admin: Visit) -> None:
    admin.open("/batch-pools/?show=left+behind")
    shown = admin.page.locator("a.pool").all_inner_texts()
    assert "forgotten" in shown
    assert not {"nightly-etl", "hostile"} & set(shown)
    admin.page.fill('input[name="q"]', "nothing like that")
    admin.page.click("text=Apply")
    assert admin.page.locator("a.pool").count() == 0
