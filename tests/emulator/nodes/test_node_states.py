"""What each of the sixteen states does to a node with a task and a user, and the way out of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_batchlinux.core.node_states import NODE_STATES as PROVIDER_STATES
from airflow_provider_batchlinux.emulator.handlers.serializers import COUNTED_STATES
from airflow_provider_batchlinux.emulator.simulation.lifecycle import NODE_STATES

NODES = "/pools/linux/nodes"
WRONG_STATE = "OperationInvalidForCurrentState"


class BusyNode:
    """A node that runs a task and has a user, in a pool with a manual clock."""

    def __init__(self, account: Any) -> None:
        self.account, self.control = account, account.emulator.control
        nat = {"name": "ssh", "protocol": "tcp", "backendPort": 22}
        nat |= {"frontendPortRangeStart": 40000, "frontendPortRangeEnd": 40099}
        account.create_pool(networkConfiguration={"endpointConfiguration": {"inboundNATPools": [nat]}})
        self.control.advance(60)
        (node,) = account.nodes()
        self.id: str = node["id"]
        self.port: int = self.send("GET", "remoteloginsettings")["remoteLoginPort"]
        assert self.send("POST", "users", {"name": "etl"}) == 201
        account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
        account.send("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/sleep 1000"})
        self.wait_for_task("running")

    def send(self, method: str, action: str, body: Any = None) -> Any:
        return self.account.send(method, f"{NODES}/{self.id}/{action}", body)

    @property
    def state(self) -> str:
        shown: str = self.account.send("GET", f"{NODES}/{self.id}")["state"]
        return shown

    @property
    def task(self) -> str:
        state: str = self.account.send("GET", "/jobs/job/tasks/task")["state"]
        return state

    def wait_for_task(self, state: str) -> None:
        deadline = time.monotonic() + 10
        while self.task != state:
            assert time.monotonic() < deadline, (self.task, self.account.nodes())

    def force(self, state: str) -> None:
        self.control.set_node("linux", self.id, state)

    def lets_in(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0 and client.recv(4) == b"SSH-"

    def counted(self) -> list[str]:
        (counts,) = self.account.send("GET", "/nodecounts")["value"]
        return [name for name, number in counts["dedicated"].items() if number and name != "total"]


@dataclass(frozen=True)
class Expected:
    """
    What is to be seen of a state.

    :param task: the state of the task that ran when it began.
    :param user: code of the answer to a new user, or 201.
    :param reboot: code of the answer to a reboot, or 202.
    :param login: whether there is a machine, with remote login settings and files.
    """

    task: str
    lets_in: bool
    user: str | int
    reboot: str | int
    login: bool = True
    keeps_user: bool = True


def _wait(seconds: float) -> Callable[[BusyNode], Any]:
    return lambda node: node.control.advance(seconds)


def _force(state: str, seconds: float = 0) -> Callable[[BusyNode], Any]:
    def leave(node: BusyNode) -> None:
        node.force(state)
        node.control.advance(seconds)

    return leave


def _ask(action: str, seconds: float = 0) -> Callable[[BusyNode], Any]:
    def leave(node: BusyNode) -> None:
        node.send("POST", action, {})
        node.control.advance(seconds)

    return leave


CREATED, STARTED, REBOOTED, REIMAGED = (
    f"NodeBeing{what}" for what in ("Created", "Started", "Rebooted", "Reimaged")
)
CASES: dict[str, tuple[Expected, Callable[[BusyNode], Any]]] = {
    "idle": (Expected("running", True, 201, 202), _wait(0)),
    "running": (Expected("running", True, 201, 202), _wait(0)),
    "creating": (Expected("active", False, CREATED, CREATED), _wait(27)),
    "starting": (Expected("active", False, STARTED, 202), _wait(17)),
    "waitingforstarttask": (Expected("active", False, STARTED, STARTED), _force("idle")),
    "starttaskfailed": (Expected("active", False, WRONG_STATE, 202), _ask("reboot", 71)),
    "unusable": (
        Expected("active", False, "NodeStateUnusable", "NodeStateUnusable"),
        _force("rebooting", 71),
    ),
    "unknown": (Expected("running", True, WRONG_STATE, 202), _force("idle")),
    "offline": (Expected("active", True, WRONG_STATE, WRONG_STATE), _ask("enablescheduling")),
    "preempted": (
        Expected("active", False, WRONG_STATE, WRONG_STATE, login=False, keeps_user=False),
        _force("creating", 27),
    ),
    "rebooting": (Expected("active", False, REBOOTED, REBOOTED), _wait(71)),
    "reimaging": (Expected("active", False, REIMAGED, REIMAGED, keeps_user=False), _wait(101)),
    "upgradingos": (Expected("active", False, WRONG_STATE, WRONG_STATE, keeps_user=False), _wait(137)),
    "deallocating": (
        Expected("active", False, WRONG_STATE, WRONG_STATE),
        lambda node: (_wait(61)(node), _ask("start", 97)(node)),
    ),
    "deallocated": (Expected("active", False, WRONG_STATE, WRONG_STATE, login=False), _ask("start", 97)),
    "leavingpool": (Expected("active", False, WRONG_STATE, WRONG_STATE), _force("idle")),
}


def _code(answer: Any) -> Any:
    return answer["code"] if isinstance(answer, dict) else answer


@pytest.fixture
def busy(start: Any) -> BusyNode:
    return BusyNode(start(profile="realistic", clock="manual"))


def test_the_states_are_those_of_the_service() -> None:
    assert len(NODE_STATES) == 16
    assert set(NODE_STATES) == set(COUNTED_STATES) == set(CASES)


def test_the_provider_knows_every_state_once() -> None:
    assert sorted(PROVIDER_STATES) == sorted(NODE_STATES)


@pytest.mark.parametrize("state", CASES)
def test_a_state_has_its_consequences_and_a_way_out(busy: BusyNode, state: str) -> None:
    expected, leave = CASES[state]
    busy.force(state)

    # A node that runs a task is not idle.
    assert busy.state == ("running" if state == "idle" else state)
    assert busy.counted() == [COUNTED_STATES[busy.state]]
    assert (busy.task, busy.lets_in()) == (expected.task, expected.lets_in)
    assert _code(busy.send("POST", "users", {"name": "new"})) == expected.user
    assert ("code" not in busy.send("GET", "remoteloginsettings")) == expected.login
    assert ("code" not in busy.send("GET", "files")) == expected.login

    leave(busy)
    busy.wait_for_task("running")
    assert (busy.state, busy.lets_in()) == ("running", True)
    assert (busy.send("PUT", "users/etl", {}) == 200) == expected.keeps_user


@pytest.mark.parametrize("state", CASES)
def test_a_node_is_rebooted_in_some_states(busy: BusyNode, state: str) -> None:
    busy.force(state)

    assert _code(busy.send("POST", "reboot", {})) == CASES[state][0].reboot


def test_a_task_of_a_node_out_of_sight_may_end_there(busy: BusyNode) -> None:
    busy.force("unknown")
    busy.account.send("POST", "/jobs/job/tasks/task/terminate", {})

    assert (busy.task, busy.state) == ("completed", "unknown")
    busy.force("idle")
    assert busy.state == "idle"


def test_the_states_of_a_node_that_boots_are_seen_in_order(start: Any) -> None:
    account = start(profile="realistic", clock="manual")
    account.create_pool(startTask={"commandLine": "/bin/sleep 1000"})
    seen = []
    for seconds in (31, 10, 17):
        account.emulator.control.advance(seconds)
        seen.append(account.nodes()[0]["state"])

    assert seen == ["creating", "starting", "waitingforstarttask"]
