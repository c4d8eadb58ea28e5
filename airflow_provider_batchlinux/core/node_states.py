"""The states of nodes in groups, by which decisions go."""

from __future__ import annotations

READY_STATES = ("idle", "running")
"""The states of nodes that can run tasks, or run them."""

BROKEN_STATES = ("starttaskfailed", "unusable")
"""The states of nodes that do not become ready by waiting."""

AWAY_STATES = ("preempted", "leavingpool")
"""The states of nodes that have no machine, or will soon have none."""

WITHOUT_MACHINE_STATES = ("preempted", "deallocated")
"""The states of nodes that have no machine any more, so that nothing is billed for them."""

RESTARTING_STATES = ("creating", "rebooting", "reimaging", "upgradingos")
"""The states in which a node starts over, so that its boot time counts from there."""

BOOTING_STATES = (*RESTARTING_STATES, "starting", "waitingforstarttask")
"""The states of nodes that have a machine and are starting."""

NEW_MACHINE_STATES = ("creating", "reimaging")
"""The states of nodes with a fresh operating system: users that were added earlier are gone."""

STOPPED_STATES = ("deallocating", "deallocated")
"""The states of nodes whose machine is stopped, or will soon be."""

NODE_STATES = (
    *READY_STATES,
    *BOOTING_STATES,
    *BROKEN_STATES,
    *AWAY_STATES,
    *STOPPED_STATES,
    "offline",
    "unknown",
)
"""All states of nodes."""
