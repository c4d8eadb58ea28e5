"""Keep a user on all nodes of a pool, including nodes that are added later, until its lease ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import leave, read_ledger
from airflow_provider_batchlinux.client.users.reconcile import (
    add_user_to_nodes,
    nodes_if_any,
    remove_user_from_nodes,
)
from airflow_provider_batchlinux.client.users.revoke import failed_records
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.core.users.lease import (
    AppliedState,
    LeaseEnd,
    applied_state,
    served_nodes,
    service_expiry,
)
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.core.users.plan import UserPlan, plan_of
from airflow_provider_batchlinux.core.users.user import (
    NodeUser,
    UserOutcome,
    UserRecord,
    records_table,
    username_warnings,
)
from airflow_provider_batchlinux.exceptions import BatchUnreachableError, NodeUsersError

log = logging.getLogger(__name__)

REMOVAL_LIMIT = timedelta(minutes=15)
"""How long nodes that refuse to let the user go, such as one that reboots, are asked again."""

_ALL = NodeChoice(None, None)


async def _never() -> bool:
    return False


async def _no_password() -> str | None:
    return None


@dataclass
class LeaseWait:
    """
    Wait for the end of a lease, and make sure at each poll that the user is on all nodes.

    The ledger decides whether the lease continues, so the user must be in it before. Removing the user from
    the ledger, or taking it over, ends the lease.

    :param user: the user; its expiry is the end of the lease.
    :param by: the holder of the user, as in the ledger.
    :param max_concurrency: calls in flight at most.
    :param tasks_over: returns whether the tasks that need the user are over.
    :param password: returns the user's password when it is needed; it is not stored.
    :param clock: seconds since the epoch; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    user: NodeUser
    by: Mapping[str, str]
    max_concurrency: int
    tasks_over: Callable[[], Awaitable[bool]] = _never
    password: Callable[[], Awaitable[str | None]] = _no_password
    clock: Callable[[], float] = time.time
    status: str = field(default="", init=False)
    _applied: dict[str, AppliedState] = field(default_factory=dict, init=False)
    _ended: LeaseEnd | None = field(default=None, init=False)
    _ended_at: datetime = field(init=False)
    _removed: set[str] = field(default_factory=set, init=False)
    _cleared: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Warn of a name that not every distribution accepts."""
        for warning in username_warnings(self.user.username):
            log.warning("%s", warning)

    async def poll(self) -> dict[str, Any] | None:
        """
        Add the user where it is missing; once the lease is over, remove it everywhere.

        :return: how the lease ended, once the user is removed; ``None`` to continue.
        :raises NodeUsersError: some nodes did not remove the user. It stays in the ledger.
        """
        try:
            return await self._step()
        except BatchUnreachableError as error:
            if self._ended is not None and self._now() > self._ended_at + REMOVAL_LIMIT:
                raise
            # A lease outlives an outage of the service; its nodes keep the user meanwhile.
            self.status = f"Pool {self.pool_id!r}, user {self.user.username!r}: {error}"
            return None

    def pause(self, seconds: float) -> float:
        """Return how long to wait for the next poll: at most until the end of the lease."""
        left = (self.user.expires_at - self._now()).total_seconds()
        return min(seconds, left) if self._ended is None and left > 0 else seconds

    async def _step(self) -> dict[str, Any] | None:
        ledger = await read_ledger(self.client, self.pool_id)
        entry = (ledger or {}).get(self.user.username)
        if ledger is None:
            return self._result(LeaseEnd.POOL_GONE)
        if entry is not None and dict(entry.by) != dict(self.by):
            log.warning("Pool %r: user %r now belongs to %s.", self.pool_id, entry.username, entry.holder)
            return self._result(LeaseEnd.TAKEN_OVER)
        if self._ended is None:
            self._ended, self._ended_at = await self._end(entry), self._now()
        if self._ended is None:
            await self._keep()
            return None
        return await self._remove(self._ended, entry)

    async def _end(self, entry: LedgerEntry | None) -> LeaseEnd | None:
        if entry is None:
            return LeaseEnd.REVOKED
        if entry.is_over(self._now()) or self._now() >= self.user.expires_at:
            return LeaseEnd.EXPIRED
        return LeaseEnd.TASKS_OVER if await self.tasks_over() else None

    async def _keep(self) -> None:
        now = self._now()
        nodes = await nodes_if_any(self.client, self.pool_id)
        plan = plan_of(nodes, _ALL, done=served_nodes(nodes, self._applied, now))
        absent = {node.node_id for node in (*plan.waiting, *plan.skipped)}
        present = {node.node_id for node in nodes} - absent
        self._applied = {name: state for name, state in self._applied.items() if name in present}
        records = await self._put(plan, now)
        for node, record in zip(plan.due, records, strict=True):
            self._applied[node.node_id] = applied_state(node, record, self.user.expires_at, now)
        served = sum(state.done for state in self._applied.values())
        until = self.user.expires_at.isoformat(timespec="seconds")
        self.status = (
            f"Pool {self.pool_id!r}: user {self.user.username!r} is on {served} of {len(nodes)} nodes "
            f"until {until}{_waiting(plan)}."
        )

    async def _put(self, plan: UserPlan, now: datetime) -> list[UserRecord]:
        if not plan.due:
            return []
        expires_at = service_expiry(self.user.expires_at, now)
        user = replace(self.user, expires_at=expires_at, password=await self.password())
        # The list of nodes tells the way in from outside; the private address costs no request.
        records = await add_user_to_nodes(
            self.client,
            self.pool_id,
            user,
            max_concurrency=self.max_concurrency,
            nodes=plan.due,
            address="private",
        )
        for record in failed_records(records):
            log.warning(
                "Pool %r: user %r is not on node %r (%s), which is asked again: %s",
                self.pool_id, user.username, record.node_id, record.state, record.error,
            )  # fmt: skip
        self._tell(plan.due, records)
        return records

    def _tell(self, nodes: Sequence[NodeSnapshot], records: Sequence[UserRecord]) -> None:
        """Show where to log in to the nodes that have the user now."""
        rows = [
            replace(record, address=node.ssh.address, port=node.ssh.port, public=True) if node.ssh else record
            for node, record in zip(nodes, records, strict=True)
            if record.has_user
        ]
        if rows:
            log.info("Pool %r: user %r was put on\n%s", self.pool_id, self.user.username, records_table(rows))

    async def _remove(self, ended: LeaseEnd, entry: LedgerEntry | None) -> dict[str, Any] | None:
        nodes = await nodes_if_any(self.client, self.pool_id)
        plan = plan_of(nodes, _ALL, done=self._cleared, removing=True)
        records = await remove_user_from_nodes(
            self.client,
            self.pool_id,
            self.user.username,
            max_concurrency=self.max_concurrency,
            nodes=plan.due,
        )
        failed = failed_records(records)
        self._note_removed(records)
        if not failed and not plan.waiting:
            if entry is not None:
                await leave(self.client, self.pool_id, entry)
            return self._result(ended)
        names = [*(record.node_id for record in failed), *(node.node_id for node in plan.waiting)]
        self.status = (
            f"Pool {self.pool_id!r}: the lease of user {self.user.username!r} is over ({ended.value}); "
            f"still to be taken off {len(names)} nodes: {joined(names)}."
        )
        if self._now() > self._ended_at + REMOVAL_LIMIT:
            causes = "".join(f"\n  node {r.node_id!r} ({r.state}): {r.error}" for r in failed)
            msg = f"{self.status} It stays in the pool's ledger.{causes}"
            raise NodeUsersError(msg, failed=names)
        return None

    def _note_removed(self, records: Sequence[UserRecord]) -> None:
        self._cleared |= {r.node_id for r in records if r.outcome is not UserOutcome.FAILED}
        self._removed |= {r.node_id for r in records if r.outcome is UserOutcome.REMOVED}

    def _result(self, ended: LeaseEnd) -> dict[str, Any]:
        self.status = (
            f"Pool {self.pool_id!r}: the lease of user {self.user.username!r} is over ({ended.value}); "
            f"taken off {len(self._removed)} nodes."
        )
        return {
            "pool_id": self.pool_id,
            "username": self.user.username,
            "ended": ended.value,
            "removed": len(self._removed),
        }

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), timezone.utc)


def _waiting(plan: UserPlan) -> str:
    if not plan.waiting:
        return ""
    return f"; {len(plan.waiting)} are {joined(sorted({node.state for node in plan.waiting}))}"
