"""How long the stages of pools and nodes take under a manual clock, for tests that advance it."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.simulation.lifecycle import PROFILES
from airflow_provider_batchlinux.emulator.simulation.seeded_random import Span


def _after(*stages: str) -> float:
    """Return the seconds after which stages that follow one another have ended."""
    spans: list[Span] = [getattr(PROFILES["realistic"], stage) for stage in stages]
    return sum(span.typical for span in spans) + 1.0


POOL_SETTLED = _after("settling")
POOL_RESIZED = _after("resizing")
POOL_STOPPED = _after("stopping")
POOL_DELETED = _after("emptying")
EMPTY_POOL_DELETED = _after("deleting")
NODE_CREATED = _after("creating")
NODE_BOOTED = _after("creating", "starting")
NODE_REBOOTED = _after("rebooting", "starting")
NODE_REIMAGED = _after("reimaging", "starting")
NODES_IDLE = POOL_RESIZED + NODE_BOOTED
"""From the request for nodes until they are idle."""
