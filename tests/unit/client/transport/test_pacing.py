"""Slowing many calls down together: a service with a rate of its own, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.transport.pacing import AdaptiveRateLimiter
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.exceptions import BatchRequestError, BatchUnreachableError
from tests.unit.client.transport.test_retry import Answer
from tests.unit.client.virtual_time import at, now, run_virtually

DELAY = 0.02
NO_ROUTE = ServiceRequestError("no route to host")


@dataclass
class Service:
    """
    A service that accepts a limited number of calls per second, and some more at the beginning.

    :param retry_after: what it asks those for that it refuses; ``None`` when it does not say.
    """

    rate: float
    burst: float
    retry_after: float | None = None
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    async def __call__(self) -> str:
        allowance = self.burst + now() * self.rate - len(self.taken)
        log = self.taken if allowance >= 1 else self.refused
        log.append(now())
        await at(now() + DELAY)
        if log is self.refused:
            raise HttpResponseError(response=Answer(429, "TooManyRequests", self.retry_after))
        return "done"


def run_all(service: Service, calls: int = 1000, max_concurrency: int = 64, budget: float = 300.0) -> float:
    """Make calls in virtual time, and give how long it took."""

    async def scenario() -> float:
        policy = RetryPolicy(budget=budget, clock=now).paced()
        results = await fan_out(
            range(calls), lambda _: policy.run("call", service), max_concurrency=max_concurrency
        )
        assert results == ["done"] * calls
        return now()

    return run_virtually(scenario())


@pytest.mark.parametrize("rate", [50, 100, 400])
def test_a_thousand_calls_take_little_longer_than_the_rate_of_the_service_allows(rate: int) -> None:
    service = Service(rate, burst=200)

    assert run_all(service) < 1.3 * (1000 - 200) / rate + 1


def test_calls_that_are_not_refused_are_not_delayed() -> None:
    assert run_all(Service(10_000, burst=1000)) == pytest.approx(1000 / 64 * DELAY, rel=0.1)


def test_no_call_begins_while_the_service_asks_for_patience() -> None:
    service = Service(rate=100, burst=100, retry_after=5)
    run_all(service, 300)

    first = service.refused[0] + DELAY
    begun = service.taken + service.refused
    assert [moment for moment in begun if first < moment < first + 5 - DELAY] == []


def test_a_refusal_slows_down_the_calls_that_were_not_refused_too() -> None:
    service = Service(rate=100, burst=100)
    run_all(service, 400)

    assert len(service.refused) < 400


class TestOneCall:
    def test_the_pause_grows_while_nothing_goes_through(self) -> None:
        async def scenario() -> list[float]:
            pacer, pauses = AdaptiveRateLimiter(clock=now), []
            for _ in range(12):
                pacer.was_refused(await pacer.turn(), None)
                pauses.append(pacer.held_up)
            return pauses

        pauses = run_virtually(scenario())
        assert pauses[0] == pytest.approx(0.1)
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(30)

    def test_refusals_of_concurrent_calls_count_as_one(self) -> None:
        async def scenario() -> float:
            pacer = AdaptiveRateLimiter(clock=now)
            begun = [await pacer.turn() for _ in range(64)]
            for moment in begun:
                pacer.was_refused(moment, None)
            return pacer.held_up

        assert run_virtually(scenario()) == pytest.approx(0.1)

    def test_the_longest_patience_that_is_asked_for_holds(self) -> None:
        async def scenario() -> float:
            pacer = AdaptiveRateLimiter(clock=now)
            begun = [await pacer.turn() for _ in range(3)]
            for moment, retry_after in zip(begun, (2.0, 7.0, 5.0), strict=True):
                pacer.was_refused(moment, retry_after)
            return pacer.held_up

        assert run_virtually(scenario()) == pytest.approx(7)


class TestSilence:
    def test_a_service_that_does_not_answer_is_given_up_once_and_not_by_each_call(self) -> None:
        async def gone() -> str:
            raise NO_ROUTE

        async def scenario() -> float:
            policy = RetryPolicy(budget=300, clock=now).paced()
            for _ in range(20):
                with pytest.raises(BatchUnreachableError):
                    await policy.run("call", gone)
            return now()

        assert run_virtually(scenario()) <= 300

    def test_a_call_that_fails_while_others_are_answered_costs_them_no_patience(self) -> None:
        async def scenario() -> bool:
            policy = RetryPolicy(budget=300, clock=now).paced()

            async def others() -> str:
                with pytest.raises(BatchRequestError):
                    await policy.run("call", refused)
                raise NO_ROUTE

            with pytest.raises(BatchUnreachableError):
                await policy.run("call", others)
            assert policy.pacer is not None
            return policy.pacer.is_hopeless

        async def refused() -> str:
            raise HttpResponseError(response=Answer(409, "NodeStateUnusable"))

        assert run_virtually(scenario()) is False
