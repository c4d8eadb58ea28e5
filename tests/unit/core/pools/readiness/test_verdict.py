"""Whether a pool's nodes are ready for work, decided from one observation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.pools.readiness.verdict import (
    Outcome,
    PoolObservation,
    Verdict,
    describe_progress,
    judge,
)
from airflow_provider_batchlinux.core.snapshots import (
    NodeSnapshot,
    PoolSnapshot,
    ServiceError,
    StartTaskRun,
)
from tests.unit.core.snapshots import node, pool

HEALTHY = ("creating", "starting", "waitingforstarttask", "rebooting", "preempted", "offline", "leavingpool")
BROKEN = ("starttaskfailed", "unusable")
STRICT = ReadinessPolicy()
QUOTA = ServiceError("AccountCoreQuotaReached", "Quota reached.")
STOPPED = ServiceError("ResizeStopped", "Stopped by request.")

STATES = st.lists(st.sampled_from([*HEALTHY, *BROKEN, "idle", "running", "unknown", "anewstate"]), max_size=8)
TARGETS = st.tuples(st.integers(0, 4), st.integers(0, 4))
POLICIES = st.builds(ReadinessPolicy, st.booleans(), st.booleans())


def seen(found: PoolSnapshot | None, **counts: int) -> PoolObservation:
    return PoolObservation("etl", found, counts)


def judged(found: PoolSnapshot | None, policy: ReadinessPolicy = STRICT, **counts: int) -> Verdict:
    return judge(seen(found, **counts), policy)


def exactly(found: PoolSnapshot, *nodes: NodeSnapshot) -> Verdict:
    return judge(PoolObservation.exact("etl", found, nodes), STRICT)


@pytest.mark.parametrize(
    ("found", "counts", "outcome"),
    [
        pytest.param(pool(), {"idle": 2}, Outcome.READY, id="all nodes idle"),
        pytest.param(pool(), {"idle": 3}, Outcome.READY, id="more nodes idle than wanted"),
        pytest.param(pool(), {"idle": 1, "starting": 1}, Outcome.WAITING, id="one node still starting"),
        pytest.param(pool(), {}, Outcome.WAITING, id="steady and no node yet"),
        pytest.param(
            pool(current_dedicated=0, allocation_state="resizing"), {}, Outcome.WAITING, id="resizing"
        ),
        pytest.param(pool(), {"idle": 1, "running": 1}, Outcome.WAITING, id="one node at work"),
        pytest.param(pool(0, 2), {}, Outcome.WAITING, id="a spot-only pool before its nodes"),
        pytest.param(pool(0, 2), {"idle": 1}, Outcome.WAITING, id="a spot-only pool with one of two"),
        pytest.param(pool(0, 2), {"idle": 2}, Outcome.READY, id="a spot-only pool with its nodes"),
        pytest.param(pool(0, 2), {"idle": 1, "preempted": 1}, Outcome.WAITING, id="a spot node taken away"),
        pytest.param(pool(1, 1), {"idle": 1}, Outcome.WAITING, id="dedicated there and spot missing"),
        pytest.param(pool(1, 1), {"idle": 2}, Outcome.READY, id="dedicated and spot there"),
        pytest.param(pool(0, 0, autoscale=True), {}, Outcome.WAITING, id="autoscale without nodes so far"),
    ],
)
def test_a_pool_is_ready_when_as_many_nodes_are_idle_as_it_asks_for(
    found: PoolSnapshot, counts: dict[str, int], outcome: Outcome
) -> None:
    assert judged(found, STRICT, **counts).outcome is outcome


def test_a_node_at_work_counts_when_the_policy_says_so() -> None:
    policy = ReadinessPolicy(running_is_ready=True)

    assert judged(pool(), policy, idle=1, running=1).outcome is Outcome.READY


@given(STATES, TARGETS, POLICIES)
def test_only_idle_and_running_nodes_make_a_pool_ready(
    states: list[str], target: tuple[int, int], policy: ReadinessPolicy
) -> None:
    usable = states.count("idle") + (states.count("running") if policy.running_is_ready else 0)
    wanted = sum(target)
    ready = not set(states) & set(BROKEN) and (usable >= wanted if wanted else policy.allow_empty)
    nodes = tuple(node(state, str(number)) for number, state in enumerate(states))
    verdict = judge(PoolObservation.exact("etl", pool(*target), nodes), policy)

    assert (verdict.outcome is Outcome.READY) == ready


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 9)), POLICIES)
def test_unknown_states_never_make_a_pool_ready(counts: dict[str, int], policy: ReadinessPolicy) -> None:
    unknown = {f"odd-{state}": count for state, count in counts.items()}

    assert judge(PoolObservation("etl", pool(), unknown), policy).outcome is Outcome.WAITING


@given(STATES, TARGETS, POLICIES)
def test_counts_and_the_exact_nodes_lead_to_the_same_outcome(
    states: list[str], target: tuple[int, int], policy: ReadinessPolicy
) -> None:
    nodes = tuple(node(state, str(number)) for number, state in enumerate(states))
    exact = PoolObservation.exact("etl", pool(*target), nodes)

    assert judge(replace(exact, nodes=None), policy).outcome is judge(exact, policy).outcome


@given(STATES, TARGETS)
def test_one_broken_node_fails_every_wait(states: list[str], target: tuple[int, int]) -> None:
    nodes = [node(state, str(number)) for number, state in enumerate([*states, "unusable"])]

    assert exactly(pool(*target), *nodes).outcome is Outcome.FAILED


@given(st.permutations(["creating", "starting", "waitingforstarttask", "idle"] * 2))
def test_a_pool_is_ready_at_its_last_node_and_not_before(steps: list[str]) -> None:
    nodes = {"a": "creating", "b": "creating"}
    for number, state in enumerate(steps):
        nodes["ab"[number % 2]] = state
        done = all(state == "idle" for state in nodes.values())
        verdict = exactly(pool(), *(node(state, name) for name, state in nodes.items()))

        assert verdict.outcome is (Outcome.READY if done else Outcome.WAITING)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param(None, "Pool 'etl' does not exist: it was deleted, or never created.", id="no pool"),
        pytest.param(pool(state="deleting"), "Pool 'etl' is being deleted.", id="being deleted"),
        pytest.param(
            pool(0, 0),
            "Pool 'etl' asks for no nodes (0 dedicated, 0 spot), so none will ever be idle. "
            "Resize it first, or pass allow_empty=True.",
            id="zero target",
        ),
    ],
)
def test_a_pool_that_can_never_be_ready_fails_in_words(found: PoolSnapshot | None, reason: str) -> None:
    assert judged(found, idle=2 if found and found.target else 0) == Verdict(Outcome.FAILED, reason)


def test_a_pool_without_nodes_is_ready_where_that_is_allowed() -> None:
    verdict = judged(pool(0, 0), ReadinessPolicy(allow_empty=True))

    assert verdict == Verdict(Outcome.READY, "Pool 'etl' asks for no nodes: there is nothing to wait for.")


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(pool(current_dedicated=1), Outcome.FAILED, id="steady and short of nodes"),
        pytest.param(pool(0, 2, current_spot=1), Outcome.FAILED, id="steady and short of spot nodes"),
        pytest.param(pool(), Outcome.WAITING, id="left over from before, the nodes are there"),
        pytest.param(
            pool(current_dedicated=1, allocation_state="resizing"), Outcome.WAITING, id="still resizing"
        ),
        pytest.param(
            pool(current_dedicated=1, autoscale=True), Outcome.WAITING, id="autoscale will try again"
        ),
    ],
)
def test_a_resize_error_counts_only_while_the_pool_has_given_up(
    found: PoolSnapshot, outcome: Outcome
) -> None:
    assert judged(replace(found, resize_errors=(QUOTA,)), idle=1).outcome is outcome


def test_a_stale_resize_error_does_not_keep_a_complete_pool_from_being_ready() -> None:
    assert judged(pool(resize_errors=(QUOTA,)), idle=2).outcome is Outcome.READY


def test_a_resize_error_is_told_with_its_remedy() -> None:
    unknown = ServiceError("AllocationFailed", "No.", (("Reason", "zone is full"),))
    verdict = judged(pool(current_dedicated=1, resize_errors=(QUOTA, unknown)), idle=1)

    assert verdict.reason.splitlines() == [
        "Pool 'etl' got 1 of 2 nodes and stopped.",
        "  AccountCoreQuotaReached: Quota reached. Remedy: ask for a higher dedicated core quota, or for "
        "fewer or smaller nodes.",
        "  AllocationFailed: No. (Reason: zone is full)",
    ]


@given(st.integers(0, 4), st.sampled_from(["steady", "resizing", "stopping"]), st.booleans())
def test_a_stopped_resize_never_fails_a_wait(current: int, allocation: str, autoscale: bool) -> None:
    stopped = pool(
        5,
        current_dedicated=current,
        allocation_state=allocation,
        autoscale=autoscale,
        resize_errors=(STOPPED,),
    )

    assert judged(stopped, idle=current).outcome is Outcome.WAITING


def test_a_stopped_resize_does_not_hide_another_error() -> None:
    verdict = judged(pool(current_dedicated=1, resize_errors=(STOPPED, QUOTA)), idle=1)

    assert verdict.outcome is Outcome.FAILED
    assert "ResizeStopped" not in verdict.reason


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        pytest.param(
            node("starttaskfailed", start_task=StartTaskRun("completed", "failure", 100, None)),
            "node 'tvm-1': start task failed with exit code 100",
            id="a start task that failed",
        ),
        pytest.param(
            node(
                "starttaskfailed",
                start_task=StartTaskRun("completed", "failure", None, ServiceError("NoDisk", "Full.")),
            ),
            "node 'tvm-1': start task failed with no exit code; NoDisk: Full.",
            id="a start task that did not start",
        ),
        pytest.param(
            node("unusable", errors=(ServiceError("DiskFull", "Full."), ServiceError("Odd", "Odd."))),
            "node 'tvm-1': unusable: DiskFull: Full.; Odd: Odd.",
            id="an unusable node with errors",
        ),
        pytest.param(
            node("unusable"),
            "node 'tvm-1': unusable; the service names no cause (it cannot reach the machine)",
            id="an unusable node without a word",
        ),
    ],
)
def test_a_broken_node_fails_the_wait_with_its_cause(broken: NodeSnapshot, cause: str) -> None:
    verdict = exactly(pool(), node("idle", "tvm-0"), broken)

    assert verdict.outcome is Outcome.FAILED
    assert verdict.broken_nodes == (broken,)
    assert verdict.reason.splitlines()[1:] == [f"  {cause}"]


def test_broken_nodes_that_are_only_counted_fail_the_wait_too() -> None:
    verdict = judged(pool(), idle=1, unusable=2, starttaskfailed=1)

    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == (
        "Pool 'etl' has nodes that will not become ready: 1 starttaskfailed and 2 unusable."
    )


@pytest.mark.parametrize(
    ("found", "counts", "line"),
    [
        pytest.param(
            pool(2, 1),
            {"starting": 1, "idle": 2},
            "Pool 'etl': 2 dedicated and 1 Spot nodes wanted; nodes: 2 idle, 1 starting; allocation steady.",
            id="counts by state",
        ),
        pytest.param(
            pool(allocation_state="resizing", current_dedicated=0),
            {},
            "Pool 'etl': 2 dedicated and 0 Spot nodes wanted; nodes: none yet; allocation resizing.",
            id="no node yet",
        ),
        pytest.param(None, {}, "Pool 'etl' does not exist.", id="no pool"),
    ],
)
def test_progress_is_one_line(found: PoolSnapshot | None, counts: dict[str, int], line: str) -> None:
    assert describe_progress(seen(found, **counts)) == line


@pytest.mark.parametrize(
    ("found", "counts", "hint"),
    [
        pytest.param(
            pool(current_dedicated=1, resize_errors=(STOPPED,)),
            {"idle": 1},
            "The last resize was stopped by request; resize the pool to go on.",
            id="a stopped resize",
        ),
        pytest.param(
            pool(),
            {"idle": 1, "offline": 1},
            "Offline nodes are kept from work on purpose; enable scheduling on them to go on.",
            id="an offline node",
        ),
        pytest.param(
            pool(current_dedicated=1, autoscale=True),
            {"offline": 1},
            "Offline nodes are kept from work on purpose; enable scheduling on them to go on.",
            id="an offline node of a pool that is short of nodes",
        ),
    ],
)
def test_progress_says_what_only_a_person_can_do(
    found: PoolSnapshot, counts: dict[str, int], hint: str
) -> None:
    assert describe_progress(seen(found, **counts)).endswith(f"allocation steady. {hint}")
