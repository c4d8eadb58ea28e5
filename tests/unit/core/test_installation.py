"""Workers that race for the id of their installation agree on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.installation import SETTLING_TIME, require_installation_id
from airflow_provider_batchlinux.hooks._installation import Store, agreed_id

Delays = Sequence[float]


class World:
    """A Variable, workers that read and write it, and their time."""

    def __init__(self, found: str | None = None) -> None:
        self.value, self.now = found, 0.0
        self.hub = getcurrent()
        self.ids: list[str] = []
        self.waiting: list[tuple[float, int, Any]] = []

    def store(self, delays: Delays) -> Store:
        """Give the Variable as a worker sees it whose requests take the given seconds, in turn."""
        requests = 0

        def pause(seconds: float) -> None:
            self.waiting.append((self.now + seconds, len(self.waiting), getcurrent()))
            self.hub.switch(None)

        def delay() -> None:
            nonlocal requests
            requests += 1
            pause(delays[requests % len(delays)])

        def read() -> str | None:
            delay()
            return self.value

        def write(value: str) -> None:
            delay()
            self.value = value
            delay()

        return Store(read, write, lambda: self.now, pause)

    def run(self, workers: Sequence[tuple[float, Delays]]) -> list[str]:
        """Let workers begin at their times, and give the ids that they use."""
        for number, (start, delays) in enumerate(workers):
            store = self.store(delays)
            begun = greenlet(lambda _sent, store=store: self.ids.append(agreed_id(store)))
            self.waiting.append((start, -number, begun))
        while self.waiting:
            following = min(self.waiting, key=lambda item: item[:2])
            self.waiting.remove(following)
            self.now = max(self.now, following[0])
            following[2].switch(None)
        return self.ids


# From the read that finds no Variable to the arrival of the claim: less than the time after which it settles.
DELAYS = st.lists(st.floats(0.0, SETTLING_TIME / 3), min_size=1, max_size=5)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.0, 3 * SETTLING_TIME), DELAYS), min_size=1, max_size=5))
@example([(0.0, [0.0]), (0.0, [SETTLING_TIME / 3]), (SETTLING_TIME, [0.1])])
def test_workers_that_race_agree_on_one_id(workers: list[tuple[float, list[float]]]) -> None:
    world = World()

    ids = world.run(workers)

    assert len(ids) == len(workers)
    assert set(ids) == {world.value}
    assert require_installation_id("id", ids[0]) == ids[0]


def test_an_id_that_exists_is_used_without_a_pause() -> None:
    world = World("production")

    assert world.run([(0.0, [0.1]), (0.0, [0.2])]) == ["production", "production"]
    assert world.now < SETTLING_TIME


def test_a_claim_whose_worker_died_is_settled_by_the_next() -> None:
    assert World("dead?").run([(0.0, [0.1])]) == ["dead"]


@pytest.mark.parametrize("value", ["", " ", "a b", "?", "-a", "ü", "a" * 65, "a\n b"])
def test_what_cannot_be_an_id_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="is not the id of an installation: 1 to 64 letters"):
        require_installation_id("Variable x", value)
