"""The states of nodes, their order, and the delays of pools and nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.simulation.seeded_random import SeededRandom, Span


@dataclass(frozen=True)
class NodeState:
    """
    A state of a node.

    :param next: state that follows automatically after a delay; ``None`` for no such state.
    :param is_down: whether the machine is down: all programs are stopped, and SSH is closed.
    :param is_fresh: whether it is a new machine from then on, without the files and users.
    :param has_machine: whether it has a machine.
    :param keeps_work: whether its programs continue.
    :param keeps_tasks: whether its tasks continue; otherwise they are requeued.
    """

    next: str | None = None
    is_down: bool = False
    is_fresh: bool = False
    has_machine: bool = True
    keeps_work: bool = False
    keeps_tasks: bool = False


_WORKING = NodeState(keeps_work=True, keeps_tasks=True)

NODE_STATES: Mapping[str, NodeState] = {
    "creating": NodeState(next="starting", is_down=True),
    "starting": NodeState(),
    "waitingforstarttask": NodeState(),
    "starttaskfailed": NodeState(),
    "idle": _WORKING,
    "running": _WORKING,
    "offline": NodeState(keeps_work=True),
    # Not documented. Assumed: only the service cannot reach it.
    "unknown": _WORKING,
    "unusable": NodeState(),
    "preempted": NodeState(next="creating", is_down=True, is_fresh=True, has_machine=False),
    "rebooting": NodeState(next="starting", is_down=True),
    "reimaging": NodeState(next="starting", is_down=True, is_fresh=True),
    # An upgrade replaces the OS disk. Assumed: it is like a reimage.
    "upgradingos": NodeState(next="starting", is_down=True, is_fresh=True),
    "deallocating": NodeState(next="deallocated", is_down=True),
    "deallocated": NodeState(is_down=True, has_machine=False),
    "leavingpool": NodeState(is_down=True),
}
"""
All states of a node. A node in ``starting`` continues with its start task, a node in ``preempted`` only when
there is capacity.
"""

DOWN_NODE_STATES = frozenset(name for name, state in NODE_STATES.items() if state.is_down)


_AT_ONCE = Span(0.0, 0.0, 0.0)
_SPOT_LIFE = Span(1.0, 0.2, 3.0)
_SLOW_ANSWER = Span(0.5, 0.2, 1.0)


@dataclass(frozen=True)
class Profile:
    """
    How long each stage takes; ``resizing``, ``stopping`` and ``deleting`` are a pool's.

    :param settling: a resize that neither adds nor removes a node.
    :param emptying: the deletion of a pool that has nodes; ``deleting`` is that of one without.
    :param joining: how long before it is idle, without a start task, a node says that it has booted.
    :param waking: from the start of a deallocated node until it is ``starting`` as others are; ``woken`` is
        the rest of that state.
    :param ending: from when the tasks of a terminating job have ended until it is completed, if it had nodes.
    :param preempted: from when a spot node is taken away until it comes back, if there is room.
    :param spot_life: from when a spot node has booted until it is taken away, if chance wants that.
    :param answering: how much later a slow answer comes, in real time.
    :param retry: seconds before a failed task is tried again.
    :param sample_lag: seconds until a sample of a metric is there for autoscale formulas.
    :param run_lag: seconds until a pool shows the run of a formula that was just enabled.
    :param longest_resize: seconds after which a resize that lacks capacity ends; ``None`` takes the
        pool's ``resizeTimeout``.
    :param speed: what all this was divided by.
    """

    resizing: Span = _AT_ONCE
    settling: Span = _AT_ONCE
    stopping: Span = _AT_ONCE
    deleting: Span = _AT_ONCE
    emptying: Span = _AT_ONCE
    creating: Span = _AT_ONCE
    starting: Span = _AT_ONCE
    joining: Span = _AT_ONCE
    rebooting: Span = _AT_ONCE
    reimaging: Span = _AT_ONCE
    upgradingos: Span = _AT_ONCE
    deallocating: Span = _AT_ONCE
    waking: Span = _AT_ONCE
    woken: Span = _AT_ONCE
    ending: Span = _AT_ONCE
    preempted: Span = _AT_ONCE
    spot_life: Span = _SPOT_LIFE
    answering: Span = _SLOW_ANSWER
    retry: float = 0.0
    sample_lag: float = 0.0
    run_lag: float = 0.0
    longest_resize: float | None = 0.0
    speed: float = 1.0

    def faster(self, factor: float) -> Profile:
        """Return this profile with every delay divided by a factor."""
        delays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "speed"}
        divided = {name: delay / factor for name, delay in delays.items() if delay is not None}
        return replace(self, **divided, speed=factor)


PROFILES: Mapping[str, Profile] = {
    "instant": Profile(),
    # Recorded in 2016 to 2026, the newest as the typical one: resizes that brought nodes took 31, 53, 57,
    # 60, 67 and 96 s, one that had nothing to do 1.5 s, stopping one 4 to 5 s. From its allocation a node was
    # idle after 27 s (D2s_v3) to 66 s (A1_v2), after a reboot 71 s, reimaging 101 s, a start 97 s; to be
    # deallocated took it 61 to 165 s. A pool was gone 1 to 15 s after its deletion, with a node 108 s; a job
    # was terminating for 31 s. The rest is assumed.
    "realistic": Profile(
        resizing=Span(31.0, 31.0, 96.0),
        stopping=Span(4.5, 1.0, 5.0),
        settling=Span(1.5, 1.0, 1.5),
        deleting=Span(1.5, 1.0, 15.0),
        emptying=Span(108.0, 108.0, 108.0),
        creating=Span(10.0, 8.0, 12.0),
        starting=Span(17.0, 10.0, 56.0),
        # Recorded: its lastBootTime was so much earlier.
        joining=Span(1.0, 0.3, 6.0),
        rebooting=Span(53.6, 53.6, 53.6),
        reimaging=Span(83.5, 83.5, 83.5),
        upgradingos=Span(120.0, 60.0, 300.0),
        deallocating=Span(61.0, 61.0, 165.0),
        waking=Span(91.5, 91.5, 91.5),
        woken=Span(5.5, 5.5, 5.5),
        ending=Span(31.0, 31.0, 31.0),
        preempted=Span(300.0, 60.0, 1800.0),
        spot_life=Span(1800.0, 60.0, 7200.0),
        answering=Span(2.0, 1.0, 10.0),
        retry=1.0,
        sample_lag=60.0,
        # Recorded: in the second after it was enabled there was none.
        run_lag=1.0,
        longest_resize=None,
    ),
    # Chosen: no delays, so that tests are fast, but preempted nodes are away for a moment.
    "faulty": Profile(
        preempted=Span(0.5, 0.2, 1.0),
        longest_resize=1.0,
    ),
}


@dataclass(frozen=True)
class Delays:
    """
    Returns random delays of a profile.

    :param jitter: variation of delays, from 0 to 1.
    """

    profile: Profile
    seeded_random: SeededRandom
    jitter: float

    def of(self, stage: str, *key: object) -> float:
        """
        Return the delay of a state in seconds.

        :param key: identifies the pool or node, and the occasion.
        """
        span: Span = getattr(self.profile, stage)
        if span.shortest == span.longest or not self.jitter:
            return span.typical
        return span.at(self.seeded_random.draw("delay", stage, *key), self.jitter)


def delays_of(options: EmulatorOptions, seeded_random: SeededRandom) -> Delays:
    """Return the delays for the options."""
    return Delays(PROFILES[options.profile].faster(options.speed), seeded_random, options.spread)
