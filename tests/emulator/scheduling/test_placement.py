"""Nodes are chosen for tasks so that nothing gets more than there is, and no task is preempted in vain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.jobs.placement import Need, NodeRoom, Occupant, Room
from airflow_provider_batchlinux.emulator.jobs.task_queue import scheduling_order
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.state.records import Job, Task

_SLOTS = 4
_NODES = st.lists(st.tuples(st.integers(0, _SLOTS), st.booleans()), max_size=6).map(
    lambda found: [NodeRoom(f"n{i}", _SLOTS, free, spot) for i, (free, spot) in enumerate(found)]
)
_NEEDS = st.builds(
    Need,
    slots=st.integers(1, _SLOTS + 1),
    nodes=st.integers(1, 4),
    is_whole=st.booleans(),
    is_dedicated=st.booleans(),
    preferred=st.sampled_from([None, "n0", "n3", "gone"]),
)
_BARRED = st.frozensets(st.sampled_from(["n0", "n1", "n2"]))
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def _wanted(need: Need) -> int:
    return max(_SLOTS, need.slots) if need.is_whole else need.slots


def _fits(node: NodeRoom, need: Need, excluded: frozenset[str], free: int) -> bool:
    return free >= _wanted(need) and node.id not in excluded and (node.is_dedicated or not need.is_dedicated)


@given(_NODES, st.lists(_NEEDS, max_size=6), _BARRED, st.booleans())
def test_no_node_gives_more_slots_than_it_has(
    nodes: list[NodeRoom], needs: list[Need], excluded: frozenset[str], is_packed: bool
) -> None:
    room, free = Room(nodes, is_packed=is_packed), {node.id: node.free for node in nodes}

    for need in needs:
        fit = [node.id for node in nodes if _fits(node, need, excluded, free[node.id])]
        chosen = room.choose(need, excluded)
        assert (chosen is None) == (len(fit) < need.nodes)
        if chosen is not None:
            assert len(set(chosen)) == need.nodes
            assert set(chosen) <= set(fit)
            room.take(need, chosen)
            free |= {node_id: free[node_id] - _wanted(need) for node_id in chosen}

    assert room.is_full == (not any(free.values()))


@given(_NODES, _NEEDS, _BARRED)
def test_nodes_that_are_kept_are_given_to_no_other_task(
    nodes: list[NodeRoom], need: Need, excluded: frozenset[str]
) -> None:
    room, other = Room(nodes), Room(nodes)

    room.reserve(need, excluded)

    kept = {node.id for node in nodes if node.free and room.choose(Need(preferred=node.id)) != [node.id]}
    suited = [node for node in nodes if _fits(node, need, excluded, _SLOTS)]
    is_kept_for = (need.nodes > 1 or need.is_whole) and len(suited) >= need.nodes
    assert len(kept) <= (need.nodes if is_kept_for else 0)
    assert kept <= {node.id for node in suited}
    if is_kept_for and (chosen := other.choose(need, excluded)) is not None:
        assert len(chosen) == need.nodes


@given(_NODES, _NEEDS, _BARRED, st.lists(st.integers(-3, 3), max_size=8))
def test_those_put_back_make_room_and_none_of_them_in_vain(
    nodes: list[NodeRoom], need: Need, excluded: frozenset[str], ranks: list[int]
) -> None:
    busy = [node for node in nodes for _ in range(_SLOTS - node.free)]
    occupants = [
        Occupant(number, node.id, 1, rank)
        for number, (node, rank) in enumerate(zip(busy, ranks, strict=False))
    ]
    room = Room(nodes)

    found = room.preempt(need, occupants, excluded)

    if found is None:
        gains = {node.id: sum(held.node_id == node.id for held in occupants) for node in nodes}
        assert sum(_fits(node, need, excluded, node.free + gains[node.id]) for node in nodes) < need.nodes
        return
    room.take(need, found.node_ids)
    gone = [held for held in occupants if held.key in found.keys]
    for node in nodes:
        here = sum(held.node_id == node.id for held in gone)
        assert not here or node.free + here == _wanted(need)


@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 4), st.integers(0, 3)), max_size=5), st.booleans()
)
def test_every_waiting_task_has_its_turn_by_the_priority_of_its_job(
    shapes: list[tuple[int, int, int]], oldest_first: bool
) -> None:
    jobs = [_job(number, priority) for number, (priority, _, _) in enumerate(shapes)]
    waiting = {
        job.id: [_task(job, i) for i in range(shape[1])] for job, shape in zip(jobs, shapes, strict=True)
    }
    running = {job.id: shape[2] for job, shape in zip(jobs, shapes, strict=True)}

    def tasks_of(job: Job) -> Iterator[Task]:
        return iter(waiting[job.id])

    turns = list(scheduling_order(jobs, tasks_of, lambda job: running[job.id], oldest_first=oldest_first))

    priorities = [job.spec["priority"] for job, _ in turns]
    assert priorities == sorted(priorities, reverse=True)
    for job in jobs:
        assert [task for other, task in turns if other is job] == waiting[job.id]
    for (one, _), (other, _) in pairwise(turns):
        if oldest_first and one.spec == other.spec:
            assert one.created <= other.created


def _job(number: int, priority: int) -> Job:
    created = _START + timedelta(seconds=number)
    return Job(f"job-{number}", {"priority": priority}, created, Version("0x1", created), "active", created)


def _task(job: Job, number: int) -> Task:
    return Task(str(number), job.id, "linux", {}, job.created, job.version, "active", job.created, {})
