"""A pool, its ledger, its nodes and all who change users there, as a model whose steps a test interleaves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.access import (
    RENEWED_AFTER,
    claim,
    enter,
    entry_to_continue,
    holds_claim,
    lease_end,
    may_add,
    may_pay,
    may_remove,
    note_some,
    pay,
    release,
    revoke,
    settle,
)
from airflow_provider_batchlinux.core.users.lease import LeaseEnd
from airflow_provider_batchlinux.core.users.ledger import ALL, LedgerEntry, Owed
from airflow_provider_batchlinux.core.users.plan import leaves_user, left_out, owed_plan
from tests.unit.core.snapshots import node

BEGIN = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
USERNAME = "ann"
IN_FLIGHT = timedelta(minutes=6)
"""The longest time from a look at the ledger to the end of a request: retries, and the last try of them."""

FRESH = "fresh"
"""What is yielded between a look at the ledger and the request: a second at most, in which others may act."""


@dataclass(eq=False)
class Node:
    """
    :param user: the owner and the generation of the user that it has.
    :param machine: counts its machines, each of which begins without users.
    """

    node_id: str
    state: str = "idle"
    user: tuple[str, int] | None = None
    machine: int = 0


@dataclass(eq=False)
class Request:
    """
    A request that is in flight.

    :param generation: the generation that it adds, or the last one that it means to remove.
    :param answer: ``done`` or ``refused`` after it was carried out.
    """

    sender: str
    owner: str
    node_id: str
    adds: bool
    generation: int
    sent: datetime
    answer: str | None = None


Step = Generator["Request | str | None", "str | None", None]


@dataclass(eq=False)
class World:
    now: datetime = BEGIN
    entry: LedgerEntry | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    tokens: int = 0
    generations: int = 0
    unwanted: set[tuple[str, int]] = field(default_factory=set)
    """Nodes from which a generation of the user was removed though it is wanted on others."""

    def token(self) -> str:
        self.tokens += 1
        return f"t{self.tokens}"

    def new(self, owner: str, expires_at: datetime, *, is_lease: bool = False) -> LedgerEntry:
        """Return an entry whose generation no other user has: the next ones of the name count from there."""
        self.generations += 100
        return LedgerEntry(USERNAME, expires_at, by(owner), is_lease=is_lease, generation=self.generations)

    def snapshots(self) -> list[NodeSnapshot]:
        return [node(each.state, each.node_id) for each in self.nodes.values()]

    def carry_out(self, request: Request) -> None:
        """Let the service carry out a request, and check that it hits no later user."""
        self.requests.remove(request)
        found = self.nodes.get(request.node_id)
        if found is None:
            request.answer = "done" if not request.adds else "refused"
            return
        if found.state != "idle":
            request.answer = "refused"
            return
        if found.user is not None:
            is_meant = found.user[1] <= request.generation or (found.node_id, found.user[1]) in self.unwanted
            assert is_meant, f"{request} hits {found}"
        one = (found.node_id, request.generation)
        if request.adds:
            found.user = (request.owner, request.generation)
            if not self._is_being_removed(request):
                self.unwanted.discard(one)
        else:
            if found.user is not None and found.user[1] == request.generation:
                self.unwanted.add(one)
            found.user = None
        request.answer = "done"

    def _is_being_removed(self, request: Request) -> bool:
        """Return whether a removal that began before an add is carried out means the added user, too."""
        if self.entry is None:
            return False
        removals = [
            one
            for one in self.entry.live_claims(self.now)
            if not one.adds and one.generation == request.generation
        ]
        return bool(removals) or self.entry.owed.covers(request.node_id)

    def check(self) -> None:
        """The ledger knows of each user that may be on a node."""
        for each in self.nodes.values():
            if each.user is not None:
                assert self.entry is not None, f"forgotten: {each}"
                is_active = not self.entry.is_revoked and self.entry.generation == each.user[1]
                assert is_active or self.entry.owed.covers(each.node_id), f"{each} in {self.entry}"


def by(owner: str) -> dict[str, str]:
    return {"dag_id": owner, "run_id": "run", "task_id": "task", "map_index": "-1"}


@dataclass(eq=False)
class Actor:
    """
    One who changes a user, step by step. What happens between two yields is atomic, as the ETag makes it.

    :param skew: by how much its clock differs from the service's, after the correction.
    """

    world: World
    owner: str
    skew: timedelta
    added: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.world.now + self.skew

    def add(self, lasts: timedelta, *, take_over: bool, rounds: int) -> Step:
        """Add a user to the nodes that are ready, in rounds as of a deferred task."""
        world, generation = self.world, None
        wanted = world.new(self.owner, self.now + lasts)
        for _ in range(rounds):
            barred = world.entry is not None and world.entry.bars(wanted.by, self.now)
            if barred and not (take_over and generation is None):
                return
            entry = enter(world.entry, wanted, self.now)
            if generation not in (None, entry.generation):
                return
            world.entry, generation = entry, entry.generation
            yield None
            if not (yield from self._put(entry)):
                return
            yield None

    def remove(self) -> Step:
        """Remove the user from the whole pool, and then note it, as the operator does."""
        world, token = self.world, self.world.token()
        found = world.entry
        if found is not None and found.bars(by(self.owner), self.now):
            return
        new = world.new(self.owner, self.now)
        world.entry = began = claim(revoke(found or new, self.now), token, self.now, adds=False)

        def permits(found: LedgerEntry | None) -> bool:
            return may_remove(found, began.generation)

        yield None
        asked = list(world.nodes)
        owing, unanswered, changed = yield from self._ask(began, ALL, token, permits, began.generation)
        if world.entry is not None and not unanswered:
            world.entry = release(world.entry, token, self.now)
        yield None
        found = world.entry
        if changed or (found is not None and not may_remove(found, began.generation)):
            return
        world.entry = entry = claim(revoke(found or new, self.now), token, self.now, adds=False)
        yield None
        if world.entry is None or not self._is_held(token, partial(may_remove, generation=entry.generation)):
            return
        if any(one.adds for one in (*began.claims, *entry.claims)):
            owing = {*owing, *asked}
        self._settle(entry, Owed.of(owing), "" if unanswered else token, by_holder=False)

    def remove_from(self, node_id: str) -> Step:
        """Remove the user from one node only, as the operator does."""
        world, found, token = self.world, self.world.entry, self.world.token()
        if found is not None and (found.bars(by(self.owner), self.now) or found.is_lease):
            return
        if found is None:
            found = revoke(world.new(self.owner, self.now), self.now, Owed.of([node_id]))
        world.entry = entry = claim(found, token, self.now, adds=False)
        chosen = [each for each in world.snapshots() if each.node_id == node_id]
        if not entry.is_revoked:
            world.unwanted.add((node_id, entry.generation))

        def permits(found: LedgerEntry | None) -> bool:
            return (may_remove if entry.is_revoked else may_add)(found, entry.generation)

        yield None
        owing, unanswered, changed = yield from self._ask(
            entry, Owed.of([node_id]), token, permits, entry.generation, adds=False
        )
        if world.entry is not None and not unanswered:
            world.entry = release(world.entry, token, self.now)
        if world.entry is None or changed or not permits(world.entry):
            return
        if any(one.adds for one in entry.claims):
            owing = {node_id}
        if chosen and node_id not in owing and node_id in world.nodes:
            found_there = world.nodes[node_id].user
            assert found_there is None or found_there[1] > entry.generation, f"reported as removed: {node_id}"
        world.entry = note_some(world.entry, {node_id} - owing if chosen else (), Owed.of(owing), self.now)

    def audit(self) -> Step:
        """Remove what is overdue, and pay what is owed."""
        world, found = self.world, self.world.entry
        if found is None or found.is_settled:
            return
        if found.is_over(self.now):
            yield from self._take_off(found, by_holder=False)
        elif may_pay(found, self.now):
            token = world.token()
            world.entry = entry = claim(found, token, self.now, adds=False, earlier=True)

            def permits(found: LedgerEntry | None) -> bool:
                return may_add(found, entry.generation)

            owing, unanswered, _ = yield from self._ask(
                entry, entry.owed, token, permits, entry.generation - 1, earlier=True
            )
            if world.entry is not None and self._is_held(token, permits):
                kept = "" if unanswered else token
                world.entry = pay(world.entry, Owed.of(owing), kept, self.now)

    def lease(self, lasts: timedelta, *, is_retry: bool) -> Step:
        """Keep the user on all nodes until the end, then remove it until nothing is owed."""
        world = self.world
        wanted = world.new(self.owner, self.now + lasts, is_lease=True)
        found = entry_to_continue(world.entry, wanted.by, is_lease=True) if is_retry else None
        ends = found.expires_at if found else wanted.expires_at
        if found is None or not found.is_over(self.now):
            if world.entry is not None and world.entry.bars(wanted.by, self.now):
                return
            world.entry = enter(world.entry, replace(wanted, expires_at=ends), self.now)
        ended: LeaseEnd | None = None
        while True:
            yield None
            end = lease_end(world.entry, wanted.by, ends, self.now)
            if end is LeaseEnd.TAKEN_OVER:
                return
            ended = ended or end
            if ended is None:
                assert world.entry is not None
                yield from self._put(world.entry)
                continue
            yield from self._take_off(world.entry or wanted, by_holder=True)
            if world.entry is None or world.entry.is_settled or dict(world.entry.by) != wanted.by:
                return

    def _put(self, entry: LedgerEntry) -> Generator[Request | str | None, str | None, bool]:
        """Claim, pay, add and release; return whether the user is still wanted."""
        world, token = self.world, self.world.token()

        def permits(found: LedgerEntry | None) -> bool:
            return may_add(found, entry.generation)

        claimed = yield from self._claim(token, permits)
        if claimed is None:
            return False
        yield None
        owing, unanswered = yield from self._pay_first(claimed, token, permits)
        ready = [each for each in world.snapshots() if each.state == "idle" and each.node_id not in owing]
        added: dict[str, int] = {}
        for each in ready:
            if not self._look(token, permits, adds=True):
                break
            yield FRESH
            machine = world.nodes[each.node_id].machine if each.node_id in world.nodes else -1
            answer = yield Request(self.owner, self.owner, each.node_id, True, entry.generation, world.now)
            if answer == "done":
                added[each.node_id] = machine
            unanswered = unanswered or answer is None
        if world.entry is not None and not unanswered:
            world.entry = release(world.entry, token, self.now)
        if permits(world.entry):
            self._require_present(added, entry.generation)
            return True
        yield None
        if world.entry is None or may_remove(world.entry, entry.generation):
            yield from self._take_off(world.entry or entry, by_holder=False)
        return False

    def _claim(
        self, token: str, permits: Callable[[LedgerEntry | None], bool]
    ) -> Generator[Request | str | None, str | None, LedgerEntry | None]:
        world = self.world
        while world.entry is not None and permits(world.entry):
            if world.entry.fenced_until(self.now) is None:
                world.entry = claim(world.entry, token, self.now, adds=True)
                return world.entry
            yield None
        return None

    def _pay_first(
        self, entry: LedgerEntry, token: str, permits: Callable[[LedgerEntry | None], bool]
    ) -> Generator[Request | str | None, str | None, tuple[set[str], bool]]:
        if not entry.owed:
            return set(), False
        world = self.world
        earlier = entry.generation - 1
        owing, unanswered, _ = yield from self._ask(entry, entry.owed, token, permits, earlier)
        if world.entry is not None and self._is_held(token, permits):
            world.entry = replace(world.entry, owed=Owed.of(owing))
        yield None
        return owing, unanswered

    def _require_present(self, added: dict[str, int], generation: int) -> None:
        """What is reported as added is there, unless the node has lost its machine or a request was lost."""
        for node_id, machine in added.items():
            found = self.world.nodes.get(node_id)
            if found is not None and found.machine == machine:
                is_taken = found.user is None and (node_id, generation) in self.world.unwanted
                assert is_taken or found.user == (self.owner, generation), f"reported as added: {found}"

    def _take_off(self, found: LedgerEntry, *, by_holder: bool) -> Step:
        world, token = self.world, self.world.token()
        world.entry = entry = claim(revoke(found, self.now), token, self.now, adds=False)

        def permits(found: LedgerEntry | None) -> bool:
            return may_remove(found, entry.generation)

        yield None
        asked = list(world.nodes)
        owing, unanswered, changed = yield from self._ask(entry, entry.owed, token, permits, entry.generation)
        if world.entry is None:
            return
        if changed or not self._is_held(token, permits):
            world.entry = world.entry if unanswered else release(world.entry, token, self.now)
            return
        if any(one.adds for one in entry.claims):
            # What was asked before a request that adds the user has landed is not final.
            owing = {*owing, *asked}
        self._settle(entry, Owed.of(owing), "" if unanswered else token, by_holder=by_holder)

    def _settle(self, entry: LedgerEntry, owed: Owed, token: str, *, by_holder: bool) -> None:
        world = self.world
        assert world.entry is not None
        world.entry = settle(world.entry, owed, token, self.now, by_holder=by_holder)
        if world.entry is None or not world.entry.owed:
            for each in world.nodes.values():
                assert each.user is None or each.user[1] > entry.generation, f"reported as removed: {each}"

    def _ask(
        self,
        entry: LedgerEntry,
        owed: Owed,
        token: str,
        permits: Callable[[LedgerEntry | None], bool],
        generation: int,
        *,
        earlier: bool = False,
        adds: bool | None = None,
    ) -> Generator[Request | str | None, str | None, tuple[set[str], bool, bool]]:
        """Ask nodes to remove a user; return who owes it, whether an answer is missing, and a change."""
        plan = owed_plan(self.world.snapshots(), owed)
        absent = (left_out(each, USERNAME, removing=True) for each in plan.skipped)
        owing = {record.node_id for record in absent if leaves_user(record)}
        unanswered = changed = False
        for each in (*plan.due, *plan.waiting):
            renews = (not entry.is_revoked and not earlier) if adds is None else adds
            changed = changed or not self._look(token, permits, adds=renews, earlier=earlier)
            if changed:
                owing.add(each.node_id)
                continue
            yield FRESH
            answer = yield Request(self.owner, self.owner, each.node_id, False, generation, self.world.now)
            if answer != "done":
                owing.add(each.node_id)
            unanswered = unanswered or answer is None
        return owing, unanswered, changed

    def _is_held(self, token: str, permits: Callable[[LedgerEntry | None], bool]) -> bool:
        found = self.world.entry
        return found is not None and permits(found) and holds_claim(found, token, self.now)

    def _look(
        self,
        token: str,
        permits: Callable[[LedgerEntry | None], bool],
        *,
        adds: bool,
        earlier: bool = False,
    ) -> bool:
        """Look at the ledger before a request, and renew the claim when it is old."""
        world, found = self.world, self.world.entry
        if found is None or not self._is_held(token, permits):
            return False
        until = max(one.until for one in found.claims if one.token == token)
        if until - self.now < timedelta(minutes=10) - RENEWED_AFTER:
            world.entry = claim(found, token, self.now, adds=adds, earlier=earlier)
        return True
