"""The ground that all tests stand on: a home of Airflow's own for them, and the embedded Batch service."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

# Airflow reads its settings when it is first imported, so they are made before anything imports it.
_HOME = tempfile.mkdtemp(prefix="batchlinux-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
INSTALLATION = "tests"
"""The id of the Airflow under test."""
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    # The Dags of two tests may have one id: by default, Airflow would keep the first one for 30 seconds.
    AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL="0",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__CORE__DAGS_FOLDER=os.path.join(_HOME, "dags"),
    AIRFLOW__CORE__TEST_CONNECTION="Enabled",
    AIRFLOW__BATCH_LINUX__INSTALLATION_ID=INSTALLATION,
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from airflow_provider_batchlinux.emulator import (  # noqa: E402
    EmulatorOptions,
    RunningEmulator,
    airflow_connection,
    run_emulator,
)
from tests.batch_account import BatchAccount  # noqa: E402

# A busy machine makes an example slow, and no example wrong. CI judges by the same examples each time;
# new ones are for those who can look at what they find.
settings.register_profile("patient", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("patient")

# Installed, the package brings it; named for a checkout that is not. It is loaded once either way.
pytest_plugins = ["airflow_provider_batchlinux.emulator.pytest_plugin"]


def pytest_collection_finish() -> None:
    """Keep what lives as long as the session, such as thousands of tests, out of each garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def unread_errors() -> Iterator[list[logging.LogRecord]]:
    """Collect the errors that asyncio and the embedded service log: unread ones, and bugs."""
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collector(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("asyncio", "airflow_provider_batchlinux.emulator")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def connection(batch_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the id of an Airflow connection to the embedded service, with a retry budget of a second."""
    set_connection(monkeypatch, batch_emulator)
    return "azure_batch_linux_default"


@pytest.fixture
def account(batch_emulator: RunningEmulator, connection: str) -> BatchAccount:
    """Give an empty account of the embedded service, reached by the default connection."""
    return BatchAccount(batch_emulator)


@pytest.fixture(scope="session")
def shared_slow_emulator() -> Iterator[RunningEmulator]:
    """Serve for the whole session with Azure's delays, on a clock that stands still."""
    with run_emulator(EmulatorOptions(profile="realistic", clock="manual")) as emulator:
        yield emulator


@pytest.fixture
def slow_account(shared_slow_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> BatchAccount:
    """Give an empty account in which nothing goes on before its clock is moved."""
    shared_slow_emulator.control.reset()
    set_connection(monkeypatch, shared_slow_emulator)
    return BatchAccount(shared_slow_emulator)


@pytest.fixture(scope="session")
def shared_secure_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """Serve for the whole session over TLS, with a local Entra."""
    with run_emulator(EmulatorOptions(tls=tmp_path_factory.mktemp("tls"))) as emulator:
        yield emulator


@pytest.fixture
def secure_emulator(shared_secure_emulator: RunningEmulator) -> RunningEmulator:
    """Give an embedded service over TLS, with an empty account."""
    shared_secure_emulator.control.reset()
    return shared_secure_emulator


def set_connection(
    monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, *, key: str | None = None, **extra: object
) -> None:
    """
    Put the default connection into the environment, pointing at an embedded service.

    :param key: another key than the account's.
    :param extra: further parts of the connection's extra.
    """
    extra.setdefault("retry_budget", 1)
    value = airflow_connection(emulator.endpoint, emulator.account, key or emulator.key, None, **extra)
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", value)
