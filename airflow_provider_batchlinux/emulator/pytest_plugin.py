"""
pytest fixtures with an embedded Batch service. Installing the package makes them available.

pytest imports this module at every start, so the emulator is imported only when a fixture is used.
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

_MARKER = (
    "batch_emulator(**options): run a separate service for the test, with options such as profile or seed"
)
_RETRY_BUDGET = 10
"""Seconds. The default of five minutes is too long for a test of a failure."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def batch_emulator_options() -> EmulatorOptions:
    """Return the options of the embedded service. Override this fixture to change them."""
    from airflow_provider_batchlinux.emulator import EmulatorOptions

    return EmulatorOptions()


@pytest.fixture(scope="session")
def shared_batch_emulator(batch_emulator_options: EmulatorOptions) -> Iterator[RunningEmulator]:
    """Run one service for the whole session. Its account is shared and not reset between tests."""
    with _serving(batch_emulator_options) as emulator:
        yield emulator


@pytest.fixture
def batch_emulator(request: pytest.FixtureRequest) -> Iterator[RunningEmulator]:
    """Return an embedded Batch service with an empty account; a separate one if the test is marked so."""
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
    """Point the default connection to the embedded service during a test, and return its id."""
    from airflow_provider_batchlinux.emulator import airflow_connection

    value = airflow_connection(
        batch_emulator.endpoint,
        batch_emulator.account,
        batch_emulator.key,
        batch_emulator.ca,
        retry_budget=_RETRY_BUDGET,
    )
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", value)
    return "azure_batch_linux_default"


@contextmanager
def _serving(options: EmulatorOptions) -> Iterator[RunningEmulator]:
    from airflow_provider_batchlinux.emulator import run_emulator

    with run_emulator(options) as emulator:
        yield emulator
