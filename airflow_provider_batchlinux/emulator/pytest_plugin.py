"""
Fixtures with an embedded Batch service, there for every test where the package is installed.

pytest imports this module at each start, so it imports nothing of the emulator before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator

__all__ = [
    "batch_connection",
    "batch_emulator",
    "batch_emulator_options",
    "pytest_configure",
    "shared_batch_emulator",
]

_MARKER = "batch_emulator(**options): serve the test alone, with options such as profile, seed or clock"
_RETRY_BUDGET = 10
"""Seconds; the five minutes of the real service are too long for a test that shows a failure."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def batch_emulator_options() -> EmulatorOptions:
    """Return how the embedded service behaves: the instant profile. Override it to change that."""
    from airflow_provider_batchlinux.emulator import EmulatorOptions

    return EmulatorOptions()


@pytest.fixture(scope="session")
def shared_batch_emulator(batch_emulator_options: EmulatorOptions) -> Iterator[RunningEmulator]:
    """Serve for the whole session; what one test leaves in the account, the next one finds."""
    with _serving(batch_emulator_options) as emulator:
        yield emulator


@pytest.fixture
def batch_emulator(request: pytest.FixtureRequest) -> Iterator[RunningEmulator]:
    """Return an embedded Batch service with an empty account, of the test's own if it is marked so."""
    marker = request.node.get_closest_marker("batch_emulator")
    if marker is None:
        emulator: RunningEmulator = request.getfixturevalue("shared_batch_emulator")
        emulator.control.reset()
        yield emulator
        return
    options: EmulatorOptions = request.getfixturevalue("batch_emulator_options")
    with _serving(replace(options, port=0, **marker.kwargs)) as emulator:
        yield emulator


@pytest.fixture
def batch_connection(batch_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead the default connection to the embedded service during a test, and return its id."""
    from airflow_provider_batchlinux.emulator import airflow_connection

    served = batch_emulator
    value = airflow_connection(
        served.endpoint, served.account, served.key, served.ca, retry_budget=_RETRY_BUDGET
    )
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", value)
    return "azure_batch_linux_default"


@contextmanager
def _serving(options: EmulatorOptions) -> Iterator[RunningEmulator]:
    from airflow_provider_batchlinux.emulator import run_emulator

    with run_emulator(options) as emulator:
        yield emulator
