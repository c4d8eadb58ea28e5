"""One client for all who use an account in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.waits.shared_account import acquire_account
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchUnreachableError
from tests.unit.client.virtual_time import at, now, run_virtually

KEY = "c2VjcmV0IGtleQ=="
SETTINGS = AccountSettings("http://127.0.0.1:1", "flights", AuthKind.SHARED_KEY, account_key=KEY)


@dataclass
class Door:
    """Opens clients, and counts those that were opened and closed."""

    opened: int = 0
    closed: int = 0
    delay: float = 0.0
    errors: list[Exception] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(self, _settings: AccountSettings) -> AsyncIterator[Any]:
        await at(now() + self.delay)
        if self.errors:
            raise self.errors.pop()
        self.opened += 1
        try:
            yield object()
        finally:
            self.closed += 1


async def visit(door: Door, until: float, settings: AccountSettings = SETTINGS) -> Any:
    async with acquire_account(settings, door) as account:
        await at(until)
        return account.client


def test_all_have_the_same_client_and_the_last_one_closes_it() -> None:
    door = Door(delay=3.0)

    async def scenario() -> set[int]:
        clients = asyncio.gather(*(visit(door, until) for until in (10, 20, 30)))
        await at(25)
        assert door.closed == 0
        return set(map(id, await clients))

    assert len(run_virtually(scenario())) == 1
    assert (door.opened, door.closed) == (1, 1)


def test_a_wait_after_the_last_one_opens_a_new_client() -> None:
    door = Door()

    async def scenario() -> None:
        await visit(door, 1)
        await visit(door, 2)

    run_virtually(scenario())

    assert (door.opened, door.closed) == (2, 2)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(SETTINGS, account_key="b3RoZXIga2V5"), id="key"),
        pytest.param(replace(SETTINGS, endpoint="http://127.0.0.1:2"), id="endpoint"),
        pytest.param(replace(SETTINGS, retry_budget=1.0), id="patience"),
    ],
)
def test_other_settings_have_a_client_of_their_own(other: AccountSettings) -> None:
    door = Door()

    async def scenario() -> tuple[Any, Any]:
        return await asyncio.gather(visit(door, 5), visit(door, 5, other))

    ours, theirs = run_virtually(scenario())

    assert ours is not theirs
    assert (door.opened, door.closed) == (2, 2)


@pytest.mark.parametrize("cancelled_at", [1.0, 4.0])
def test_a_visitor_that_is_cancelled_harms_no_other(cancelled_at: float) -> None:
    door = Door(delay=2.0)

    async def scenario() -> None:
        first, second = (asyncio.ensure_future(visit(door, 10)) for _ in range(2))
        await at(cancelled_at)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        await second

    run_virtually(scenario())

    assert (door.opened, door.closed) == (1, 1)


@pytest.mark.parametrize(
    "error", [BatchAuthenticationError("No."), BatchUnreachableError("Away.")], ids=["refused", "away"]
)
def test_after_a_refusal_or_no_answer_the_next_one_opens_a_new_client(error: Exception) -> None:
    door = Door()

    async def failing() -> None:
        async with acquire_account(SETTINGS, door):
            await at(1)
            raise error

    async def scenario() -> None:
        staying = asyncio.ensure_future(visit(door, 10))
        with pytest.raises(type(error)):
            await failing()
        assert await visit(door, 5) is not await staying

    run_virtually(scenario())

    assert (door.opened, door.closed) == (2, 2)


def test_a_client_that_cannot_be_opened_fails_all_waits_and_is_tried_again() -> None:
    door = Door(delay=1.0, errors=[ValueError("ca_file")])

    async def scenario() -> None:
        found = await asyncio.gather(visit(door, 5), visit(door, 5), return_exceptions=True)
        assert [str(error) for error in found] == ["ca_file", "ca_file"]
        await visit(door, 10)

    run_virtually(scenario())

    assert (door.opened, door.closed) == (1, 1)


def test_the_end_of_the_loop_closes_the_client() -> None:
    door = Door()

    async def stay(inside: asyncio.Event) -> None:
        async with acquire_account(SETTINGS, door):
            inside.set()
            await at(now() + 1000)

    async def scenario() -> None:
        inside = asyncio.Event()
        visitor = asyncio.ensure_future(stay(inside))
        await inside.wait()
        assert not visitor.done()

    asyncio.run(scenario())

    assert door.closed == 1


def test_no_secret_shows_in_what_is_shared() -> None:
    async def scenario() -> str:
        async with acquire_account(SETTINGS, Door()) as account:
            return repr([account, vars(account), vars(account.pools)])

    assert KEY not in run_virtually(scenario())
