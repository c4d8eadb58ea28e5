"""How long the stages of pools and nodes take, and which stage follows which: data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from airflow_provider_batchlinux.emulator.options import EmulatorOptions

__all__ = ["DOWN_NODE_STATES", "ENDING_NODE_STATES", "NEXT_NODE_STATE", "PROFILES", "Profile", "profile_of"]

NEXT_NODE_STATE: Mapping[str, str] = {
    "creating": "starting",
    "rebooting": "starting",
    "reimaging": "starting",
}
"""A node in ``starting`` goes on by its start task."""

ENDING_NODE_STATES: Mapping[str, str] = {"deallocating": "deallocated"}
"""A node goes on to the second by itself and stays there."""

DOWN_NODE_STATES = frozenset(
    {"creating", "rebooting", "reimaging", "preempted", "leavingpool", "deallocating", "deallocated"}
)
"""States in which nothing can run on the node: what runs there ends, its door is shut."""


@dataclass(frozen=True)
class Profile:
    """
    Seconds that each stage takes; ``resizing``, ``stopping`` and ``deleting`` are a pool's.

    ``sample_lag`` is how long it takes until a sample of a metric is there for autoscale formulas.
    """

    resizing: float = 0.0
    stopping: float = 0.0
    deleting: float = 0.0
    creating: float = 0.0
    starting: float = 0.0
    rebooting: float = 0.0
    reimaging: float = 0.0
    deallocating: float = 0.0
    retry: float = 0.0
    sample_lag: float = 0.0

    def node_delay(self, state: str) -> float:
        """Return how long a node stays in a state that it leaves by itself."""
        delay: float = getattr(self, state)
        return delay

    def faster(self, factor: float) -> Profile:
        """Return this profile with every delay divided by ``factor``."""
        delays = {field.name: getattr(self, field.name) / factor for field in fields(self)}
        return replace(self, **delays)


PROFILES: Mapping[str, Profile] = {
    "instant": Profile(),
    # Recorded on one dedicated Ubuntu node in 2022 to 2025. Not recorded, and so assumed:
    # rebooting, reimaging, deallocating, deleting and the pause before a failed task is tried again.
    "realistic": Profile(
        resizing=31.0,
        stopping=4.5,
        deleting=5.0,
        creating=10.0,
        starting=10.0,
        rebooting=30.0,
        reimaging=60.0,
        deallocating=30.0,
        retry=1.0,
        sample_lag=60.0,
    ),
}


def profile_of(options: EmulatorOptions) -> Profile:
    """Return the delays that the options ask for."""
    return PROFILES[options.profile].faster(options.speed)
