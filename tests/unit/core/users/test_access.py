"""The state machine of a user and its entry in the ledger: random interleavings, and the rules one by one."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.core.users.access_machine import AccessMachine


def test_no_interleaving_forgets_a_user_or_takes_that_of_another() -> None:
    # `make soak` takes thousands.
    few = settings(max_examples=40, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(AccessMachine, settings=few)
