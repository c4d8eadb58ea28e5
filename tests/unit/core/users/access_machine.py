"""The interleavings of the model of users on nodes; the suite runs few of them, and ``make soak`` many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from tests.unit.core.users.access_world import FRESH, IN_FLIGHT, Actor, Node, Request, Step, World, by

MINUTE = timedelta(minutes=1)
OWNERS = st.sampled_from(["a", "b"])
LASTS = st.sampled_from([5 * MINUTE, 30 * MINUTE])
SKEWS = st.sampled_from([timedelta(seconds=seconds) for seconds in (-4, 0, 4)])
EVENTS = ["deallocate", "reboot", "start", "reimage", "preempt", "leave"]
MOST_ACTORS = 4
MOST_STEPS = 60


@dataclass(eq=False)
class Running:
    """
    An actor that is at work.

    :param request: the request that it waits for.
    :param is_fresh: whether it has looked at the ledger, and sends a request now.
    """

    actor: Actor
    steps: Step
    may_change: bool
    request: Request | None = None
    is_fresh: bool = False


class AccessMachine(RuleBasedStateMachine):
    """Two owners, an audit, nodes that come and go, requests that take their time, and kills."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.running: list[Running] = []
        self.names = 0

    @initialize(nodes=st.integers(1, 3))
    def pool(self, nodes: int) -> None:
        for _ in range(nodes):
            self.join()

    # Actors begin, go on and are killed.

    @precondition(lambda self: len(self.running) < MOST_ACTORS)
    @rule(owner=OWNERS, lasts=LASTS, skew=SKEWS, take_over=st.booleans(), rounds=st.integers(1, 2))
    def add(self, owner: str, lasts: timedelta, skew: timedelta, take_over: bool, rounds: int) -> None:
        actor = Actor(self.world, owner, skew)
        self.start(actor, actor.add(lasts, take_over=take_over, rounds=rounds), may_change=take_over)

    @precondition(lambda self: len(self.running) < MOST_ACTORS)
    @rule(owner=OWNERS, lasts=LASTS, skew=SKEWS, is_retry=st.booleans())
    def lease(self, owner: str, lasts: timedelta, skew: timedelta, is_retry: bool) -> None:
        actor = Actor(self.world, owner, skew)
        self.start(actor, actor.lease(lasts, is_retry=is_retry), may_change=False)

    @precondition(lambda self: len(self.running) < MOST_ACTORS)
    @rule(owner=OWNERS, skew=SKEWS)
    def remove(self, owner: str, skew: timedelta) -> None:
        actor = Actor(self.world, owner, skew)
        self.start(actor, actor.remove(), may_change=False)

    @precondition(lambda self: len(self.running) < MOST_ACTORS and self.world.nodes)
    @rule(owner=OWNERS, skew=SKEWS, data=st.data())
    def remove_from(self, owner: str, skew: timedelta, data: st.DataObject) -> None:
        actor = Actor(self.world, owner, skew)
        node_id = data.draw(st.sampled_from(sorted(self.world.nodes)))
        self.start(actor, actor.remove_from(node_id), may_change=False)

    @precondition(lambda self: len(self.running) < MOST_ACTORS)
    @rule(skew=SKEWS)
    def audit(self, skew: timedelta) -> None:
        actor = Actor(self.world, "audit", skew)
        self.start(actor, actor.audit(), may_change=False)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def go_on_to_a_request(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from(self.running))
        self.deliver(running)
        for _ in range(MOST_STEPS):
            if running in self.running and running.request is None:
                self.step(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), steps=st.integers(1, 4))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        running = data.draw(st.sampled_from(self.running))
        for _ in range(steps):
            self.deliver(running)
            if running in self.running and running.request is None:
                self.step(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from(self.running))
        for _ in range(MOST_STEPS):
            self.deliver(running)
            if running in self.running and running.request is None:
                self.step(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from(self.running))
        running.steps.close()
        self.running.remove(running)

    # Requests are carried out late, and answers are lost.

    @precondition(lambda self: self.world.requests)
    @rule(data=st.data())
    def carry_out(self, data: st.DataObject) -> None:
        self.world.carry_out(data.draw(st.sampled_from(self.world.requests)))

    @precondition(lambda self: any(each.request for each in self.running))
    @rule(data=st.data())
    def lose_the_answer(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from([each for each in self.running if each.request]))
        running.request = None
        self.step(running, None)

    # Time passes, and nodes come and go.

    @rule(minutes=st.integers(1, 4), is_carried_out=st.booleans())
    def later(self, minutes: int, is_carried_out: bool) -> None:
        for running in [each for each in self.running if each.is_fresh]:
            self.step(running)
        then = self.world.now + minutes * MINUTE
        for request in [each for each in self.world.requests if each.sent + IN_FLIGHT <= then]:
            if is_carried_out:
                self.world.carry_out(request)
            else:
                self.world.requests.remove(request)
        # Time first: an actor that is answered looks at the ledger again, and its request follows soon.
        self.world.now = then
        for running in list(self.running):
            if running.request is not None and running.request.sent + IN_FLIGHT <= then:
                self.answer(running)

    @precondition(lambda self: len(self.world.nodes) < 4)
    @rule()
    def join(self) -> None:
        self.names += 1
        self.world.nodes[f"n{self.names}"] = Node(f"n{self.names}")

    @precondition(lambda self: self.world.nodes)
    @rule(data=st.data(), event=st.sampled_from(EVENTS))
    def node(self, data: st.DataObject, event: str) -> None:
        node = self.world.nodes[data.draw(st.sampled_from(sorted(self.world.nodes)))]
        if node.state == "leavingpool":
            del self.world.nodes[node.node_id]
        elif event == "leave":
            node.state = "leavingpool"
        elif event == "start" and node.state in ("deallocated", "preempted", "rebooting"):
            node.state = "idle"
        elif event == "deallocate" and node.state == "idle":
            node.state = "deallocated"
        elif event == "reboot" and node.state in ("idle", "deallocated"):
            node.state = "rebooting"
        elif event in ("reimage", "preempt") and node.state in ("idle", "rebooting"):
            node.state = "idle" if event == "reimage" else "preempted"
            node.user, node.machine = None, node.machine + 1

    @invariant()
    def the_ledger_forgets_no_user(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Kill all, bring all nodes back, let time pass, and look once more: no user is left."""
        self.running.clear()
        for request in list(self.world.requests):
            self.world.carry_out(request)
        for node in list(self.world.nodes.values()):
            if node.state == "leavingpool":
                del self.world.nodes[node.node_id]
            node.state = "idle"
        self.world.check()
        self.world.now += timedelta(hours=1)
        for _ in range(2):
            actor = Actor(self.world, "audit", timedelta(0))
            self.start(actor, actor.audit(), may_change=False)
            while self.running:
                self.go_to_the_end(self.running[0])
        assert [node for node in self.world.nodes.values() if node.user] == []
        assert self.world.entry is None or self.world.entry.is_settled

    def start(self, actor: Actor, steps: Step, *, may_change: bool) -> None:
        running = Running(actor, steps, may_change)
        self.running.append(running)
        self.step(running)

    def deliver(self, running: Running) -> None:
        """Carry out the request that an actor waits for, and answer it."""
        if running.request is not None:
            if running.request in self.world.requests:
                self.world.carry_out(running.request)
            self.answer(running)

    def go_to_the_end(self, running: Running) -> None:
        while running in self.running:
            self.deliver(running)
            if running in self.running and running.request is None:
                self.step(running)

    def answer(self, running: Running) -> None:
        assert running.request is not None
        answer, running.request = running.request.answer, None
        self.step(running, answer)

    def step(self, running: Running, answer: str | None = None) -> None:
        before = self.world.entry
        try:
            found = next(running.steps) if answer is None and running.request is None else None
            if answer is not None:
                found = running.steps.send(answer)
        except StopIteration:
            self.running.remove(running)
            found = None
        running.is_fresh = found == FRESH
        if isinstance(found, Request):
            running.request = found
            self.world.requests.append(found)
        self.require_own(running, before)

    def require_own(self, running: Running, before: LedgerEntry | None) -> None:
        """Require that no actor ends or shortens the access of another owner."""
        if before is None or before.is_over(self.world.now - timedelta(seconds=5)) or running.may_change:
            return
        if dict(before.by) != by(running.actor.owner) and before.expires_at > self.world.now + timedelta(
            seconds=5
        ):
            after = self.world.entry
            assert after is not None
            kept = (after.by, after.expires_at, after.generation, after.revoked_at)
            assert kept == (before.by, before.expires_at, before.generation, before.revoked_at)
