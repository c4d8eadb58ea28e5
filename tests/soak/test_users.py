"""The interleavings of those who change a user, for many seeds: ``make soak SEEDS=200 FIRST=1000``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak.test_chaos import FIRST, SEEDS
from tests.unit.core.users.access_machine import AccessMachine

EXAMPLES = 500
"""Of each seed; they take about half a minute."""


@pytest.mark.parametrize("number", range(FIRST, FIRST + SEEDS))
def test_no_interleaving_forgets_a_user_or_takes_that_of_another(number: int) -> None:
    many = settings(
        max_examples=EXAMPLES,
        stateful_step_count=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(AccessMachine), settings=many)
