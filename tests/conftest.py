"""The ground that all tests stand on: a home of Airflow's own for them, and the embedded Batch service."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

# Airflow reads its settings when it is first imported, so they are made before anything imports it.
_HOME = tempfile.mkdtemp(prefix="batchlinux-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__CORE__DAGS_FOLDER=os.path.join(_HOME, "dags"),
    AIRFLOW__CORE__TEST_CONNECTION="Enabled",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
)

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator

pytest_plugins = ["airflow_provider_batchlinux.emulator.pytest_plugin"]


@pytest.fixture
def connection(batch_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the id of an Airflow connection to the embedded service, with a retry budget of a second."""
    set_connection(monkeypatch, batch_emulator)
    yield "azure_batch_linux_default"


def set_connection(
    monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **extra: object
) -> None:
    """Put the default connection into the environment, pointing at an embedded service."""
    import json

    connection = {
        "conn_type": "azure_batch_linux",
        "login": emulator.account,
        "password": emulator.key,
        "extra": {"account_url": emulator.endpoint, "retry_budget": 1, **extra},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", json.dumps(connection))
