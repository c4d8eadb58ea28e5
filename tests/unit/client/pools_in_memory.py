"""A client of a Batch account in memory, as far as the poller asks it, with a log of its questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from tests.unit.client.virtual_time import at, now


@dataclass
class PoolsInMemory:
    """
    The account.

    :param pools: nodes by state of each pool, which is steady; ``{}`` is one that is being allocated.
    :param asked: when each question came, and what it was.
    :param errors: what the next questions are answered with instead.
    :param delay: seconds an answer takes.
    """

    pools: dict[str, Mapping[str, int]] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    delay: float = 0.0

    async def list_pools(self, _select: Any, *, where: str | None = None) -> list[dict[str, Any]]:
        await self._answer("list pools" if where is None else "name pools")
        return [self._body(name) for name in self._named(where)]

    async def find_pool_body(self, pool_id: str, _select: Any) -> dict[str, Any] | None:
        await self._answer(f"get {pool_id}")
        return self._body(pool_id) if pool_id in self.pools else None

    async def node_count_pages(self, *, where: str | None = None) -> list[dict[str, Any]]:
        await self._answer("count all" if where is None else "count named")
        return [{name: dict(self.pools[name]) for name in self._named(where)}]

    async def list_nodes(self, pool_id: str, *, where: str | None) -> list[NodeSnapshot]:
        assert where is None
        await self._answer(f"nodes of {pool_id}")
        states = [state for state, count in self.pools[pool_id].items() for _ in range(count)]
        bodies: list[dict[str, Any]] = [
            {"id": f"n{number}", "state": state} for number, state in enumerate(states)
        ]
        return [NodeSnapshot.from_rest(body) for body in bodies]

    def turns(self) -> list[float]:
        """Give when pools were read."""
        return sorted({moment for moment, what in self.asked if what.startswith(("list", "name", "get"))})

    def questions(self) -> list[str]:
        """Give what was asked, and forget it."""
        found = [what for _, what in self.asked]
        self.asked.clear()
        return found

    async def _answer(self, what: str) -> None:
        self.asked.append((now(), what))
        if self.delay:
            await at(now() + self.delay)
        if self.errors:
            raise self.errors.pop(0)

    def _named(self, where: str | None) -> list[str]:
        names = re.findall(r"eq '([^']*)'", where) if where is not None else list(self.pools)
        return [name for name in names if name in self.pools]

    def _body(self, name: str) -> dict[str, Any]:
        nodes = sum(self.pools[name].values())
        return {
            "id": name,
            "state": "active",
            "allocationState": "steady" if nodes else "resizing",
            "currentDedicatedNodes": nodes,
            "targetDedicatedNodes": nodes or 1,
        }
