"""The ``batch_emulator`` fixture: an embedded Batch service for tests, empty at each start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator

__all__ = ["batch_emulator", "shared_batch_emulator"]


@pytest.fixture(scope="session")
def shared_batch_emulator() -> Iterator[RunningEmulator]:
    """Serve for the whole session, in the instant profile."""
    with run_emulator(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
def batch_emulator(shared_batch_emulator: RunningEmulator) -> RunningEmulator:
    """Return an embedded Batch service with an empty account."""
    shared_batch_emulator.control.reset()
    return shared_batch_emulator
