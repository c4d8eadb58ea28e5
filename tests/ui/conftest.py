"""A whole Airflow with three users, an embedded service with pools in all conditions, and a browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_batchlinux.core.pool_metadata import rest_metadata
from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone, running_airflow
from tests.embedded_service import embedded_service

HERE = Path(__file__).parent
CONN = "azure_batch_linux_default"
DAG = "batch_linux_maintenance"
SHOTS = Path(os.environ.get("UI_SCREENSHOTS", "screenshots"))
PASSWORD = "for the tests only"
WRONG_KEY = "d3Jvbmcga2V5"
USERS = {"ann": "admin", "vic": "viewer", "nob": ""}
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31mred\u202e"
BASE_PATH = os.environ.get("UI_BASE_PATH", "")
SPEED = 20


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Serve an account at twenty times Azure's speed, with a pool whose names and output are hostile."""
    with embedded_service(
        tmp_path_factory.mktemp("batch") / "nodes", profile="realistic", speed=SPEED
    ) as service:
        account = Account(service)
        account.make_pool("hostile", nodes=2)
        metadata = {HOSTILE: HOSTILE, f"airflow_batchlinux_user_{HOSTILE}": "{}"}
        account.ask(lambda client: client.update_pool("hostile", {"metadata": rest_metadata(metadata)}))
        yield account


@pytest.fixture(scope="session")
def airflow(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """Run an Airflow with an admin, a viewer, and a user without rights."""
    folder = tmp_path_factory.mktemp("airflow")
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps(dict.fromkeys(USERS, PASSWORD)))
    dags = folder / "dags"
    shutil.copytree(HERE / "dags", dags)
    shutil.copy(HERE.parents[1] / "example_dags" / "example_pool_actions.py", dags)
    connection = account.service.connection()
    settings = {
        "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT": connection,
        "AIRFLOW_CONN_WRONG_KEY": json.dumps({**json.loads(connection), "password": WRONG_KEY}),
        "AIRFLOW__BATCH_LINUX__UI_CONNECTIONS": CONN,
        "AIRFLOW__BATCH_LINUX__UI_MAINTENANCE_DAG": DAG,
        "AIRFLOW__BATCH_LINUX__INSTALLATION_ID": "ui",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    with running_airflow(folder / "home", {"ui": dags}, settings) as airflow:
        yield airflow


def token_of(airflow: Standalone, name: str) -> str:
    """Log in through Airflow's API."""
    answer = httpx.post(
        f"{airflow.url}/auth/token", json={"username": name, "password": PASSWORD}, timeout=180
    )
    token: str = answer.raise_for_status().json()["access_token"]
    return token


@pytest.fixture(scope="session")
def api(airflow: Standalone) -> Iterator[AirflowApi]:
    """Give the way to Airflow's REST API as the admin."""
    headers = {"Authorization": f"Bearer {token_of(airflow, 'ann')}"}
    with httpx.Client(base_url=airflow.url, timeout=180, headers=headers) as client:
        yield AirflowApi(client)


@dataclass(frozen=True)
class Runs:
    """The runs whose pools are live, broken and left behind."""

    live: Run
    broken: Run
    forgotten: Run


@pytest.fixture(scope="session")
def runs(api: AirflowApi, account: Account) -> Runs:
    """Start them, and wait until their pools look as they are meant to."""
    runs = Runs(*(api.trigger(dag_id) for dag_id in ("nightly_etl", "broken_start", "forgotten")))
    runs.forgotten.wait()
    runs.live.wait_for("work", "deferred", limit=180)
    until(lambda: account.counts("nightly-etl").get("running"), "a running command", limit=60)
    until(lambda: account.counts("broken-start").get("starttaskfailed"), "broken nodes", limit=60)
    account.control.set_capacity(dedicated=19, spot=0)
    account.ask(lambda client: client.resize_pool("forgotten", {"targetDedicatedNodes": 9}))
    until(lambda: account.pool("forgotten").get("resizeErrors"), "a resize error", limit=120)
    return runs


@pytest.fixture(scope="session")
def browser(runs: Runs) -> Iterator[Any]:  # playwright runs an event loop: what needs one of its own is first
    """Open Chromium, that of the distribution or of playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as engine:
        try:
            browser = engine.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"There is no Chromium: install the package chromium. {error}")
        yield browser
        browser.close()
