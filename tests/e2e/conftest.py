"""One Airflow and one embedded Batch service for the whole session; a test has runs of its own."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.demo.login import Login, make_key_pair, wait_and_log_in
from tests.e2e.account import Account
from tests.e2e.postgres import running_postgres
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone, running_airflow
from tests.embedded_service import embedded_service

HERE = Path(__file__).parent
SPEED = 10
WORKBENCH = "workbench"
NODES = 3
SHORT_SECRET = "q7z"
"""A secret that Airflow's masker leaves as it is: it has fewer than five characters."""


@dataclass(frozen=True)
class Secrets:
    """What must show nowhere."""

    wrong_key: str
    password: str
    private_key: str


@pytest.fixture(scope="session")
def hidden() -> Secrets:
    """Make the secrets of this session."""
    wrong_key = base64.b64encode(secrets.token_bytes(64)).decode()
    key_lines = "\n".join(base64.b64encode(secrets.token_bytes(48)).decode() for _ in range(4))
    private_key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{key_lines}\n-----END OPENSSH PRIVATE KEY-----\n"
    return Secrets(wrong_key, f"Pw-{secrets.token_urlsafe(18)}-1", private_key)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Serve an account at ten times Azure's speed, with a pool of three idle nodes to work on."""
    root = tmp_path_factory.mktemp("batch") / "nodes"
    with embedded_service(root, profile="realistic", speed=SPEED) as service:
        account = Account(service)
        account.make_pool(WORKBENCH, nodes=NODES)
        yield account


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Make the key pair of the person who logs in."""
    return make_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def database() -> Iterator[str | None]:
    """Give the URL of a PostgreSQL database if E2E_DATABASE asks for one; ``None`` for SQLite."""
    if os.environ.get("E2E_DATABASE", "sqlite") == "sqlite":
        yield None
        return
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def airflow(
    database: str | None,
    account: Account,
    key_pair: tuple[Path, str],
    hidden: Secrets,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standalone]:
    """Run a whole Airflow with the example Dags, the Dags of these tests, and the connections they need."""
    connection = account.service.connection()
    settings = {
        "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT": connection,
        "AIRFLOW_CONN_WASB_DEFAULT": account.service.storage_connection(),
        "AIRFLOW_CONN_WRONG_KEY": json.dumps({**json.loads(connection), "password": hidden.wrong_key}),
        "AIRFLOW_CONN_SHORT": json.dumps({"conn_type": "generic", "password": SHORT_SECRET}),
        "AIRFLOW_CONN_NODE_USER": json.dumps({"conn_type": "generic", "password": hidden.password}),
        "AIRFLOW_VAR_BATCHLINUX_PUBLIC_KEY": key_pair[1],
        "AIRFLOW_VAR_MISTAKEN_KEY": hidden.private_key,
    }
    bundles = {"examples": HERE.parents[1] / "example_dags", "tests": HERE / "dags"}
    home = tmp_path_factory.mktemp("airflow") / "home"
    with running_airflow(home, bundles, settings, database) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def api(airflow: Standalone) -> Iterator[AirflowApi]:
    """Give the way to Airflow's REST API."""
    # Airflow's API answers late while a busy machine starts workers.
    with httpx.Client(base_url=airflow.url, timeout=180) as client:
        yield AirflowApi(client)


@dataclass(frozen=True)
class Examples:
    """The runs of three example Dags, over, and the login that was made meanwhile."""

    pool: Run
    etl: Run
    functions: Run
    login: Login | None


@pytest.fixture(scope="session")
def examples(api: AirflowApi, account: Account, key_pair: tuple[Path, str]) -> Examples:
    """Run three example Dags at the same time, and log in to a node as soon as it has the user."""
    # On a busy machine the nodes would be idle before the sensor's first poll, and it would not defer.
    account.control.set_capacity(dedicated=NODES, spot=0)
    pool, etl = api.trigger("example_linux_pool"), api.trigger("example_etl")
    functions = api.trigger("example_python_functions")
    pool.wait_for("nodes_idle", "deferred")
    account.control.set_capacity()
    login = wait_and_log_in(account.service.settings, "etl", key_pair[0], over_after=lambda _: pool.is_over())
    pool.wait()
    etl.wait()
    functions.wait()
    return Examples(pool, etl, functions, login)


class Command:
    """
    A run of one of the Dags with one command, and what the command itself wrote down.

    :param ledger: the file that the command writes to.
    """

    def __init__(self, api: AirflowApi, dag_id: str, *, ledger: Path, seconds: int) -> None:
        self.ledger = ledger
        ledger.touch()
        self.run = api.trigger(dag_id, pool_id=WORKBENCH, ledger=str(ledger), seconds=seconds)

    def said(self, word: str) -> list[str]:
        """List what the command wrote after a word: ``process``, ``began``, ``finished``, ``met``."""
        lines = self.ledger.read_text().splitlines()
        return [what for said, _, what in (line.partition(" ") for line in lines) if said == word]

    def is_running(self) -> bool:
        """Tell whether a process of the command exists."""
        return any(psutil.pid_exists(int(process)) for process in self.said("process"))


StartCommand = Callable[..., Command]


@pytest.fixture
def start_command(api: AirflowApi, tmp_path: Path) -> StartCommand:
    """Give a function that starts a command through Airflow."""
    return partial(Command, api, ledger=tmp_path / "ledger")
