"""Keep a user on all nodes of a pool, including nodes that are added later, until its lease ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.usage import Look, record_usage
from airflow_provider_batchlinux.client.users.grant import nodes_if_any, put_on_nodes
from airflow_provider_batchlinux.client.users.ledger import change_entry, new_generation, new_token
from airflow_provider_batchlinux.client.users.revoke import begin_ending, failed_records, take_off
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.pools.usage import Usage
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, counts_of
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.core.users.access import claim, lease_end
from airflow_provider_batchlinux.core.users.lease import (
    AppliedState,
    LeaseEnd,
    applied_state,
    calm_counts,
    served_nodes,
    service_expiry,
)
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.core.users.plan import UserPlan, leaves_user, left_out, owed_plan, plan_of
from airflow_provider_batchlinux.core.users.user import (
    NodeUser,
    UserOutcome,
    UserRecord,
    records_table,
    username_warnings,
)
from airflow_provider_batchlinux.exceptions import (
    BatchRequestError,
    BatchUnreachableError,
    NodeUsersError,
)

log = logging.getLogger(__name__)

OWED_LIMIT = timedelta(days=1)
"""How long a lease stays for nodes that owe the removal of its user, such as one that is deallocated."""

USAGE_INTERVAL = timedelta(minutes=30)
"""How often a lease records what the pool has used, so that nodes that come and go are counted, too."""

_ALL = NodeChoice(None, None)


async def _never() -> bool:
    return False


async def _no_password() -> str | None:
    return None


@dataclass
class LeaseWait:
    """
    Wait for the end of a lease, and make sure at each poll that the user is on all nodes.

    The ledger decides whether the lease continues, so the user must be in it before. Revoking the user in
    the ledger, or taking it over, ends the lease. The user is removed from all nodes then; a node that cannot
    be asked owes it, and the lease stays for it.

    :param user: the user; its expiry is the end of the lease.
    :param by: the holder of the user, as in the ledger.
    :param max_concurrency: calls in flight at most.
    :param tasks_over: returns whether the tasks that need the user are over.
    :param password: returns the user's password when it is needed; it is not stored.
    :param owed_limit: how long after its end the lease stays for nodes that owe the removal.
    :param interval: the longest pause between two polls in seconds; ``None`` for any.
    :param list_age: seconds for which a list of nodes counts while the numbers of nodes by state stay, which
        a shared poller reads for all waits; 0 lists the nodes at each poll.
    """

    client: BatchLinuxClient
    pool_id: str
    user: NodeUser
    by: Mapping[str, str]
    max_concurrency: int
    tasks_over: Callable[[], Awaitable[bool]] = _never
    password: Callable[[], Awaitable[str | None]] = _no_password
    owed_limit: timedelta = OWED_LIMIT
    interval: float | None = None
    list_age: float = 0.0
    status: str = field(default="", init=False)
    _applied: dict[str, AppliedState] = field(default_factory=dict, init=False)
    _asked: dict[str, AppliedState] = field(default_factory=dict, init=False)
    _ended: LeaseEnd | None = field(default=None, init=False)
    _ended_at: datetime | None = field(default=None, init=False)
    _removed: set[str] = field(default_factory=set, init=False)
    _listed: tuple[datetime, list[NodeSnapshot]] | None = field(default=None, init=False)
    _first_look: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Warn of a name that not every distribution accepts."""
        for warning in username_warnings(self.user.username):
            log.warning("%s", warning)

    async def poll(self) -> dict[str, Any] | None:
        """
        Add the user where it is missing; once the lease is over, remove it everywhere.

        :return: how the lease ended, once no node owes the removal; ``None`` to continue.
        :raises NodeUsersError: nodes owe the removal for too long. The user stays in the ledger.
        """
        try:
            return await self._step()
        except BatchUnreachableError as error:
            if self._is_late():
                raise
            # A lease outlives an outage of the service; its nodes keep the user meanwhile.
            self.status = f"Pool {self.pool_id!r}, user {self.user.username!r}: {error}"
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
        return None

    def pause(self, seconds: float) -> float:
        """Return how long to wait for the next poll: at most until the end of the lease."""
        pause = seconds if self.interval is None else min(seconds, self.interval)
        left = (self.user.expires_at - self.client.clock.now()).total_seconds()
        return min(pause, left) if self._ended is None and left > 0 else pause

    async def _step(self) -> dict[str, Any] | None:
        body = await self.client.find_pool_body(self.pool_id, ["id", "metadata"])
        if body is None:
            return self._result(LeaseEnd.POOL_GONE)
        metadata = metadata_of(body)
        entry = entries_in(metadata).get(self.user.username)
        end = lease_end(entry, self.by, self.user.expires_at, self.client.clock.now())
        if end is LeaseEnd.TAKEN_OVER and entry is not None:
            log.warning("Pool %r: user %r now belongs to %s.", self.pool_id, entry.username, entry.holder)
            return self._result(end)
        if self._ended is None:
            if end in (None, LeaseEnd.REVOKED) and await self.tasks_over():
                end = LeaseEnd.TASKS_OVER
            self._ended = end
            self._ended_at = (entry.revoked_at if entry else None) or self.client.clock.now()
        if self._ended is None and entry is not None:
            await self._keep(entry)
            await self._record_usage(metadata)
            return None
        assert self._ended is not None
        return await self._remove(self._ended, entry)

    async def _keep(self, entry: LedgerEntry) -> None:
        now = self.client.clock.now()
        if (until := entry.fenced_until(now)) is not None:
            self.status = (
                f"Pool {self.pool_id!r}: user {self.user.username!r} is added when requests about an earlier "
                f"user of this name have ended, at the latest at {until.isoformat(timespec='seconds')}."
            )
            return
        nodes = await self._nodes(now)
        plan = plan_of(nodes, _ALL, done=served_nodes(nodes, self._applied, now))
        absent = {node.node_id for node in (*plan.waiting, *plan.skipped)}
        present = {node.node_id for node in nodes} - absent
        self._applied = {name: state for name, state in self._applied.items() if name in present}
        if plan.due or self._open_debts(entry, nodes, now):
            await self._put(plan, nodes, now)
        served = sum(state.done for state in self._applied.values())
        waiting = ""
        if plan.waiting:
            states = joined(sorted({node.state for node in plan.waiting}))
            waiting = f"; {len(plan.waiting)} are {states}"
        until_text = self.user.expires_at.isoformat(timespec="seconds")
        self.status = (
            f"Pool {self.pool_id!r}: user {self.user.username!r} is on {served} of {len(nodes)} nodes "
            f"until {until_text}{waiting}."
        )

    async def _record_usage(self, metadata: Mapping[str, str]) -> None:
        if self._listed is None:
            return
        looked_at, nodes = self._listed
        self._first_look = self._first_look or looked_at
        if looked_at >= (Usage.read(metadata).until or self._first_look) + USAGE_INTERVAL:
            await record_usage(self.client, self.pool_id, Look(nodes, looked_at))

    async def _put(self, plan: UserPlan, nodes: Sequence[NodeSnapshot], now: datetime) -> None:
        token = new_token()

        def begin(found: LedgerEntry | None) -> LedgerEntry | None:
            is_ours = lease_end(found, self.by, self.user.expires_at, now) is None
            if found is None or not is_ours or found.fenced_until(now) is not None:
                return found
            return claim(found, token, now, adds=True)

        password = await self.password()
        entry = await change_entry(self.client, self.pool_id, self.user.username, begin)
        if entry is None or all(one.token != token for one in entry.claims):
            return  # The next poll sees why.
        expires_at = service_expiry(self.user.expires_at, now)
        # The list of nodes has the public address; the private one costs no request.
        records, _ = await put_on_nodes(
            self.client,
            self.pool_id,
            replace(self.user, expires_at=expires_at, password=password),
            entry,
            token,
            plan.due,
            every_node=nodes,
            max_concurrency=self.max_concurrency,
            address="private",
        )
        for node, record in zip(plan.due, records, strict=True):
            self._applied[node.node_id] = applied_state(node, record, self.user.expires_at, now)
        self._note_asked(nodes, entry, now)
        for record in failed_records(records):
            log.warning(
                "Pool %r: user %r is not on node %r (%s), which is asked again: %s",
                self.pool_id, self.user.username, record.node_id, record.state, record.error,
            )  # fmt: skip
        self._tell(plan.due, records)

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
        now = self.client.clock.now()
        nodes = await self._nodes(now)
        if entry is None or not entry.is_revoked or self._needs_asking(entry, nodes, now):
            entry, failed = await self._take_off(nodes, now)
            if entry is not None and dict(entry.by) != dict(self.by):
                return self._result(LeaseEnd.TAKEN_OVER)
        else:
            failed = []
        if entry is None or not entry.owed:
            return self._result(ended)
        owing = [node.node_id for node in nodes if entry.owed.covers(node.node_id)]
        names = joined(owing) or "requests that add it may still be in flight"
        self.status = (
            f"Pool {self.pool_id!r}: the lease of user {self.user.username!r} is over ({ended.value}); "
            f"still to be taken off {counted(len(owing), 'node')}: {names}."
        )
        self._ended_at = entry.revoked_at
        if self._is_late():
            causes = "".join(f"\n  node {r.node_id!r} ({r.state}): {r.error}" for r in failed)
            msg = f"{self.status} It stays in the pool's ledger.{causes}"
            raise NodeUsersError(msg, failed=owing)
        return None

    async def _take_off(
        self, nodes: Sequence[NodeSnapshot], now: datetime
    ) -> tuple[LedgerEntry | None, list[UserRecord]]:
        """Ask the nodes that owe the removal; return the entry afterwards, and the failures."""
        mine = LedgerEntry(
            self.user.username, self.user.expires_at, self.by, is_lease=True, generation=new_generation()
        )
        found: LedgerEntry | None = None

        def may(present: LedgerEntry | None) -> LedgerEntry | None:
            nonlocal found
            found = present
            # Without an entry, the ledger must not forget what the nodes may have.
            return mine if present is None else present if dict(present.by) == dict(self.by) else None

        username = self.user.username
        ending = await begin_ending(self.client, self.pool_id, username, may, by_holder=True)
        if ending is None:
            return found, []
        taken = await take_off(self.client, ending, nodes=nodes, max_concurrency=self.max_concurrency)
        self._note_asked(nodes, ending.entry, now)
        self._removed |= {r.node_id for r in taken.records if r.outcome is UserOutcome.REMOVED}
        return taken.entry, failed_records(taken.records)

    async def _nodes(self, now: datetime) -> list[NodeSnapshot]:
        if self._listed is not None and (now - self._listed[0]).total_seconds() < self.list_age:
            nodes = self._listed[1]
            counts = await self.client.node_counts(self.pool_id)
            if calm_counts(counts) == calm_counts(counts_of(nodes)):
                return nodes
        nodes = await nodes_if_any(self.client, self.pool_id)
        self._listed = (now, nodes)
        return nodes

    def _needs_asking(self, entry: LedgerEntry, nodes: Sequence[NodeSnapshot], now: datetime) -> bool:
        if self._open_debts(entry, nodes, now):
            return True
        plan = owed_plan(nodes, entry.owed)
        absent = [left_out(node, entry.username, removing=True) for node in plan.skipped]
        # Nothing can have the user any more: the ledger may forget it.
        return not plan.size and not any(map(leaves_user, absent))

    def _open_debts(self, entry: LedgerEntry, nodes: Sequence[NodeSnapshot], now: datetime) -> bool:
        """Return whether a node that owes a removal can be asked, and has not been asked just now."""
        plan = owed_plan(nodes, entry.owed)
        asked = set(served_nodes(nodes, self._asked, now))
        return any(node.node_id not in asked for node in (*plan.due, *plan.waiting))

    def _note_asked(self, nodes: Sequence[NodeSnapshot], entry: LedgerEntry, now: datetime) -> None:
        plan = owed_plan(nodes, entry.owed)
        for node in (*plan.due, *plan.waiting):
            failed = UserRecord.of(node, entry.username, UserOutcome.FAILED)
            self._asked[node.node_id] = applied_state(node, failed, self.user.expires_at, now)

    def _is_late(self) -> bool:
        # Before a look has seen the end, the promised one counts: no lease waits forever for an outage.
        ended_at = self.user.expires_at if self._ended is None or self._ended_at is None else self._ended_at
        return self.client.clock.now() >= ended_at + self.owed_limit

    def _result(self, ended: LeaseEnd) -> dict[str, Any]:
        self.status = (
            f"Pool {self.pool_id!r}: the lease of user {self.user.username!r} is over ({ended.value}); "
            f"taken off {counted(len(self._removed), 'node')}."
        )
        return {
            "pool_id": self.pool_id,
            "username": self.user.username,
            "ended": ended.value,
            "removed": len(self._removed),
        }
