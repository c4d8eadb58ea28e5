"""What goes wrong by chance, how likely, and that a seed repeats it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator import EmulatorOptions
from airflow_provider_batchlinux.emulator.simulation.fault_rates import (
    FAULT_RATES,
    REQUEST_FAULTS,
    FaultInjector,
    FaultRates,
)
from airflow_provider_batchlinux.emulator.simulation.lifecycle import PROFILES
from airflow_provider_batchlinux.emulator.simulation.seeded_random import SeededRandom, Span
from tests.signed_requests import signed
from tests.source_code import ROOT

SEEDS = st.integers(0, 2**32)
SHARES = st.floats(0, 1, exclude_max=True)


@given(SEEDS, st.text())
def test_a_draw_follows_from_the_seed_and_what_it_is_for(seed: int, key: str) -> None:
    draw = SeededRandom(seed).draw(key, 1)

    assert 0 <= draw < 1
    assert SeededRandom(seed).draw(key, 1) == draw
    assert len({draw, SeededRandom(seed + 1).draw(key, 1), SeededRandom(seed).draw(key, 2)}) == 3


@given(SHARES, SHARES)
def test_a_delay_stays_in_its_span(draw: float, jitter: float) -> None:
    span = Span(31.0, 30.0, 96.0)

    assert span.at(draw, 0) == 31.0
    assert 30.0 <= span.at(draw, 1) <= 96.0
    assert abs(span.at(draw, jitter) - 31.0) <= abs(span.at(draw, 1) - 31.0)


def test_short_and_long_delays_come_as_often_as_they_are_likely() -> None:
    span, seeded_random = Span(2.0, 0.0, 4.0), SeededRandom(1)
    delays = [span.at(seeded_random.draw(number), 1) for number in range(2000)]

    assert sum(delay < 1 for delay in delays) == pytest.approx(250, abs=60)
    assert sum(delay < 2 for delay in delays) == pytest.approx(1000, abs=100)


def test_things_go_wrong_as_often_as_was_said() -> None:
    fault_injector = FaultInjector(SeededRandom(7), FaultRates(throttled=0.2, slow=0.1, unusable=0.5))

    picked = Counter(fault_injector.pick(REQUEST_FAULTS, "request", number) for number in range(5000))
    unusable = sum(fault_injector.should_fail("unusable", number) for number in range(5000))

    assert set(picked) == {None, "throttled", "slow"}
    assert picked["throttled"] == pytest.approx(1000, abs=120)
    assert picked["slow"] == pytest.approx(500, abs=90)
    assert unusable == pytest.approx(2500, abs=150)


def test_every_profile_has_fault_rates_and_delays() -> None:
    assert set(FAULT_RATES) == set(PROFILES) == {"instant", "realistic", "faulty"}
    assert FAULT_RATES["instant"] == FAULT_RATES["realistic"] == FaultRates()


@pytest.mark.parametrize(
    ("rates", "at_start", "at_control"),
    [
        ({"thunder": 0.1}, "Unknown fault rate 'thunder'", "There is no argument 'thunder'"),
        (
            {"slow": 1.5},
            "The fault rate 'slow' must be a number from 0 to 1, not 1.5",
            "slow is 1.5: it must be a number from 0 to 1",
        ),
        (
            {"slow": "often"},
            "The fault rate 'slow' must be a number from 0 to 1, not 'often'",
            "slow is 'often': it must be a number from 0 to 1",
        ),
    ],
)
def test_a_wrong_fault_rate_is_refused_with_a_sentence(
    account: Any, rates: Any, at_start: str, at_control: str
) -> None:
    with pytest.raises(ValueError, match=at_start):
        EmulatorOptions(fault_rates=rates)
    with pytest.raises(ValueError, match=at_control):
        account.emulator.control.fault_rates(**rates)


def test_fault_rates_are_read_and_changed_until_the_reset(start: Any) -> None:
    control = start(profile="faulty", seed=5, fault_rates={"slow": 0.5}).emulator.control

    changed = control.fault_rates(throttled=0.25)
    read = control.fault_rates()
    control.reset()

    assert (read["seed"], read["slow"], read["throttled"]) == (5, 0.5, 0.25)
    assert changed == read
    assert control.fault_rates()["throttled"] == FAULT_RATES["faulty"].throttled


def _answers(account: Any, path: str, number: int) -> list[str]:
    """Ask again and again, and return the codes of the answers."""
    codes = []
    for _ in range(number):
        try:
            codes.append(account.send("GET", path).get("code", "fine"))
        except (HTTPException, OSError):
            codes.append("dropped")
    return codes


@pytest.fixture
def unlucky() -> dict[str, Any]:
    """Give the options of an account where every third request goes wrong."""
    rates = {"throttled": 0.1, "internal_error": 0.1, "server_busy": 0.1, "dropped_before": 0.05}
    return {"profile": "faulty", "seed": 11, "fault_rates": rates}


def test_a_seed_repeats_what_happens_to_requests(start: Any, unlucky: dict[str, Any]) -> None:
    first, second, other = (start(**{**unlucky, "seed": seed}) for seed in (11, 11, 12))
    answers = _answers(first, "/pools", 40)

    assert {"TooManyRequests", "InternalError", "ServerBusy", "dropped", "fine"} == set(answers)
    assert _answers(second, "/pools", 40) == answers
    assert _answers(other, "/pools", 40) != answers
    first.emulator.control.reset()
    assert _answers(first, "/pools", 40) == answers


def test_requests_for_other_things_do_not_change_what_happens(start: Any, unlucky: dict[str, Any]) -> None:
    alone, mixed = start(**unlucky), start(**unlucky)
    answers = _answers(alone, "/pools", 20)

    seen = []
    for _ in range(20):
        seen += _answers(mixed, "/pools", 1)
        _answers(mixed, "/jobs", 2)

    assert seen == answers


@pytest.mark.parametrize(
    ("chance", "code", "retry_after"),
    [
        pytest.param("throttled", "TooManyRequests", False, id="429"),
        pytest.param("throttled_for", "TooManyRequests", True, id="429 with Retry-After"),
        pytest.param("internal_error", "InternalError", False, id="500"),
        pytest.param("server_busy", "ServerBusy", False, id="503"),
    ],
)
def test_a_refusal_by_chance_is_one_of_the_service(
    start: Any, chance: str, code: str, retry_after: bool
) -> None:
    emulator, target = start(fault_rates={chance: 1}).emulator, "/pools?api-version=2025-06-01"
    headers = signed(emulator.account, emulator.key, "GET", target, {})

    with closing(HTTPConnection(urlsplit(emulator.endpoint).netloc)) as connection:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = json.load(answer)

    assert body["code"] == code
    assert (answer.headers["retry-after"] is not None) == retry_after


def test_a_slow_answer_is_right_and_late(start: Any) -> None:
    account = start(fault_rates={"slow": 1}, speed=10, jitter=0)

    before = time.monotonic()
    answer = account.send("GET", "/pools")

    assert answer["value"] == []
    assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize(("chance", "is_done"), [("dropped_before", False), ("dropped_after", True)])
def test_a_connection_lost_by_chance_is_lost_before_or_after_the_work(
    start: Any, chance: str, is_done: bool
) -> None:
    account = start()
    account.emulator.control.fault_rates(**{chance: 1})

    with pytest.raises((HTTPException, OSError)):
        account.create_pool(nodes=0)
    account.emulator.control.fault_rates(**{chance: 0})

    assert (account.send("GET", "/pools")["value"] != []) == is_done


def _fates(account: Any) -> list[tuple[str, str]]:
    """Make a pool that boots by a manual clock, and return its nodes and their final states."""
    account.create_pool(nodes=6, targetLowPriorityNodes=6)
    account.emulator.control.advance(2500)
    return [(node["id"], node["state"]) for node in account.nodes()]


def test_a_seed_repeats_nodes_and_what_happens_to_them(start: Any) -> None:
    fault_rates = {"unusable": 0.3, "preempted": 0.5}
    options = {"profile": "realistic", "clock": "manual", "jitter": 1, "fault_rates": fault_rates}
    fates = _fates(start(seed=4, **options))

    assert {state for _, state in fates} == {"idle", "unusable", "preempted"}
    assert _fates(start(seed=4, **options)) == fates
    assert _fates(start(seed=5, **options)) != fates


def test_another_pool_of_the_same_id_has_other_nodes(start: Any) -> None:
    account = start(seed=3, clock="manual")
    first = _fates(account)
    account.send("DELETE", "/pools/linux")
    account.emulator.control.advance(1)

    assert {node for node, _ in _fates(account)}.isdisjoint({node for node, _ in first})


def test_real_delays_stray_and_a_seed_repeats_them(start: Any) -> None:
    def seconds_until_steady(seed: int) -> int:
        account = start(profile="realistic", clock="manual", jitter=1, seed=seed)
        account.create_pool()
        for seconds in range(120):
            if account.states()[0] == "steady":
                return seconds
            account.emulator.control.advance(1)
        raise AssertionError

    times = [seconds_until_steady(seed) for seed in (1, 2, 3)]

    assert len(set(times)) > 1
    assert all(31 <= seconds <= 97 for seconds in times)
    assert [seconds_until_steady(seed) for seed in (1, 2, 3)] == times


def test_a_start_task_fails_by_chance_and_is_retried(start: Any) -> None:
    account = start(fault_rates={"start_task_failed": 1})
    account.create_pool(startTask={"commandLine": "/bin/true", "maxTaskRetryCount": 2})

    (node,) = account.wait_for_nodes("linux", "starttaskfailed")

    info = node["startTaskInfo"]
    assert (info["exitCode"], info["retryCount"]) == (1, 2)
    assert info["failureInfo"]["code"] == "FailureExitCode"


def test_a_node_that_is_unusable_by_chance_says_why_and_is_well_after_another_boot(start: Any) -> None:
    account = start(fault_rates={"unusable": 1})
    account.create_pool()
    (node,) = account.wait_for_nodes("linux", "unusable")
    account.emulator.control.fault_rates(unusable=0)

    account.emulator.control.set_node("linux", node["id"], "rebooting")

    assert [error["code"] for error in node["errors"]] == ["DiskFull"]
    assert "errors" not in account.wait_for_nodes("linux", "idle")[0]


def test_every_boot_may_fail_independently(start: Any) -> None:
    account = start(seed=1, clock="manual", fault_rates={"unusable": 0.5})
    account.create_pool()
    account.emulator.control.advance(1)
    path = f"/pools/linux/nodes/{account.nodes()[0]['id']}"
    seen = []
    for _ in range(8):
        account.emulator.control.set_node("linux", path.rpartition("/")[2], "rebooting")
        account.emulator.control.advance(1)
        seen.append(account.send("GET", path)["state"])

    assert set(seen) == {"idle", "unusable"}


def test_a_spot_node_is_taken_by_chance_and_comes_back(start: Any) -> None:
    account = start(profile="realistic", clock="manual", fault_rates={"preempted": 1})
    account.create_pool(nodes=1, targetLowPriorityNodes=1)
    account.emulator.control.advance(60)
    booted = sorted(account.states())
    account.emulator.control.advance(1800)
    taken = sorted(account.states())
    account.emulator.control.fault_rates(preempted=0)
    account.emulator.control.advance(330)

    assert booted == ["idle", "idle", "steady"]
    assert taken == ["idle", "preempted", "steady"]
    assert sorted(account.states()) == booted


def test_the_page_lists_every_fault_rate() -> None:
    page = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, flags=re.MULTILINE)

    assert {name: float(rate) for name, rate in rows} == asdict(FAULT_RATES["faulty"])
