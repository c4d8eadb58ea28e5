"""An account at a glance: what each pool is, who owns it, what it costs, and whether it is still needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.end_of_support import ImageInUse, images_in_use
from airflow_provider_batchlinux.core.instants import WARNED_BEFORE
from airflow_provider_batchlinux.core.node_states import BROKEN_STATES, WITHOUT_MACHINE_STATES
from airflow_provider_batchlinux.core.pool_metadata import ACTIVE_RUN_STATES, Holder, PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.summary import pool_problems
from airflow_provider_batchlinux.core.pools.sweep import owned_pools, sweep_of
from airflow_provider_batchlinux.core.pools.usage import Usage
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices

_UNREADABLE = "a Dag that you may not read"
_HOUR = timedelta(hours=1)


class Standing(str, Enum):
    """Whether a pool is still needed."""

    LIVE = "live"
    OVER = "over"
    LEFT_BEHIND = "left behind"
    DELETING = "deleting"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class RunOfPool:
    """
    A Dag run that uses a pool.

    :param state: its state; ``None`` if it no longer exists, or belongs to another Airflow.
    """

    holder: Holder
    state: str | None


@dataclass(frozen=True)
class UserOfPool:
    """
    A user in a pool's ledger.

    :param state: ``active``, ``overdue``, or ``owed`` by nodes that may still have it after its end.
    :param dag_id: the Dag that added it; ``None`` if it was added by another Airflow or by a person.
    :param holder: who added it, in words.
    """

    username: str
    state: str
    expires_at: datetime
    is_admin: bool
    is_lease: bool
    key: str | None
    dag_id: str | None
    holder: str


@dataclass(frozen=True)
class PoolOverview:
    """
    A pool at a glance.

    :param standing: whether it is still needed.
    :param verdict: what the sweeper thinks about it, as a sentence.
    :param owner: the Dag that created it; ``None`` if it was not created by this Airflow.
    :param task_id: the task that created it.
    :param runs: the Dag runs that use it, the latest first.
    :param counts: its nodes by state.
    :param problems: its resize errors, each with its remedy, and the error of its autoscale formula.
    :param node_hours: what its nodes have used since its last resize; ``None`` while it resizes.
    :param used: what looks at its nodes have counted in its life: a lower bound.
    :param price_per_hour: what its nodes cost per hour; ``None`` if their price is unknown.
    """

    snapshot: PoolSnapshot
    standing: Standing
    verdict: str
    owner: str | None
    task_id: str | None
    runs: tuple[RunOfPool, ...]
    counts: Mapping[str, int]
    problems: tuple[str, ...]
    expires_at: datetime | None
    vm_size: str
    image: ImageInUse | None
    image_ends: bool
    users: tuple[UserOfPool, ...]
    node_hours: float | None
    used: Usage
    price_per_hour: float | None
    currency: str = ""

    @property
    def pool_id(self) -> str:
        """The pool's id."""
        return self.snapshot.pool_id

    @property
    def nodes(self) -> int:
        """The number of its nodes, as they are counted by state or else by the pool."""
        return sum(self.counts.values()) or self.snapshot.current

    @property
    def broken(self) -> int:
        """The number of its nodes that do not become ready."""
        return sum(self.counts.get(state, 0) for state in BROKEN_STATES)

    @property
    def cost(self) -> float | None:
        """The price of its node-hours since its last resize; ``None`` if it is unknown."""
        if self.node_hours is None or self.price_per_hour is None or not self.snapshot.current:
            return None
        return round(self.node_hours * self.price_per_hour / self.snapshot.current, 2)

    @property
    def is_in_trouble(self) -> bool:
        """Whether it needs attention: errors, broken nodes, or users whose time is over."""
        return bool(self.problems or self.broken or any(user.state != "active" for user in self.users))

    def to_dict(self) -> dict[str, Any]:
        """Return the pool as plain JSON values."""
        seen, image = self.snapshot, self.image
        return {
            "pool_id": self.pool_id,
            "standing": self.standing.value,
            "verdict": self.verdict,
            "owner": self.owner,
            "task_id": self.task_id,
            "runs": [{**run.holder._asdict(), "state": run.state} for run in self.runs],
            "allocation_state": seen.allocation_state,
            "dedicated": {"current": seen.current_dedicated, "target": seen.target_dedicated},
            "spot": {"current": seen.current_spot, "target": seen.target_spot},
            "autoscale": seen.autoscale,
            "nodes": dict(self.counts),
            "problems": list(self.problems),
            "created": seen.created.isoformat() if seen.created else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "vm_size": self.vm_size,
            "image": image.image if image else None,
            "image_end_of_support": image.end_of_support.isoformat()
            if image and image.end_of_support
            else None,
            "users": [
                {
                    "username": user.username,
                    "state": user.state,
                    "expires_at": user.expires_at.isoformat(),
                    "is_admin": user.is_admin,
                    "is_lease": user.is_lease,
                    "added_by": user.holder,
                }
                for user in self.users
            ],
            "node_hours_since_resize": self.node_hours,
            "cost_since_resize": self.cost,
            "used": self.used.to_dict(),
            "price_per_hour": self.price_per_hour,
            "currency": self.currency or None,
        }


@dataclass(frozen=True)
class Facts:
    """
    What is known about an account besides its pools.

    :param at: the present instant.
    :param installation: the id of this Airflow; ``None`` if it has none yet.
    :param run_states: the states of the Dag runs that use pools; a run that is missing does not exist.
    :param prices: the prices of nodes by VM size, in lower case.
    """

    at: datetime
    installation: str | None
    run_states: Mapping[Holder, str]
    images: Sequence[SupportedImage] = ()
    prices: Mapping[str, NodePrices] = field(default_factory=dict)


def holders_in(pools: Sequence[Mapping[str, Any]]) -> set[Holder]:
    """Return the Dag runs that use pools, given their REST bodies."""
    return {holder for pool in pools for holder in PoolMarks.of(pool).all_holders}


def overview_of(pool: Mapping[str, Any], counts: Mapping[str, int], facts: Facts) -> PoolOverview:
    """
    Return a pool at a glance.

    :param pool: its REST body with ``SUMMARY_FIELDS``.
    :param counts: its nodes by state.
    """
    seen, metadata = PoolSnapshot.from_rest(pool), metadata_of(pool)
    marks = PoolMarks.read(metadata)
    is_own = facts.installation is not None and marks.owner.get("installation") == facts.installation
    standing, verdict = _standing(pool, marks, facts, is_own=is_own)
    images = images_in_use([pool], facts.images, facts.at)
    image = images[0] if images else None
    prices = facts.prices.get(str(pool.get("vmSize") or "").lower())
    return PoolOverview(
        snapshot=seen,
        standing=standing,
        verdict=verdict,
        owner=marks.owner.get("dag_id") if is_own else None,
        task_id=marks.owner.get("task_id") if is_own else None,
        runs=tuple(RunOfPool(holder, facts.run_states.get(holder)) for holder in reversed(marks.all_holders)),
        counts=dict(counts),
        problems=pool_problems(seen),
        expires_at=marks.ends_at,
        vm_size=str(pool.get("vmSize") or ""),
        image=image,
        # Without the list of images, none is listed: that says nothing about this one.
        image_ends=bool(image and facts.images and image.ends_within(WARNED_BEFORE, facts.at)),
        users=tuple(_user(entry, facts) for entry in entries_in(metadata).values() if not entry.is_settled),
        node_hours=_node_hours(seen, counts, facts.at),
        used=Usage.read(metadata),
        price_per_hour=_price(seen, prices),
        currency=prices.currency if prices else "",
    )


@dataclass(frozen=True)
class Reader:
    """
    What a user of Airflow may see.

    :param dags: the Dags that the user may read.
    :param reads_connection: whether the user may read the account's connection, and so sees all its pools.
    """

    dags: Collection[str]
    reads_connection: bool


def seen_by(reader: Reader, pool: PoolOverview) -> PoolOverview | None:
    """
    Return what a user may see of a pool; ``None`` if that is nothing.

    A pool of a Dag is seen by those who may read the Dag, any other by those who may read the connection.
    What other Dags do with a pool that they share is left out.
    """
    if reader.reads_connection:
        return pool
    if pool.owner is None or pool.owner not in reader.dags:
        return None
    runs = tuple(run for run in pool.runs if run.holder.dag_id in reader.dags)
    users = tuple(
        user if user.dag_id in reader.dags else replace(user, dag_id=None, holder=_UNREADABLE, key=None)
        for user in pool.users
    )
    verdict = pool.verdict if len(runs) == len(pool.runs) else _PLAIN_VERDICTS[pool.standing]
    return replace(pool, runs=runs, users=users, verdict=verdict)


_PLAIN_VERDICTS = {
    Standing.LIVE: "A Dag run uses it.",
    Standing.OVER: "It is kept.",
    Standing.LEFT_BEHIND: "The sweeper would delete it.",
    Standing.DELETING: "It is being deleted.",
    Standing.FOREIGN: "This Airflow did not create it; the sweeper leaves it alone.",
}


@dataclass(frozen=True)
class PoolQuery:
    """
    Which pools are shown, and in which order.

    :param text: a part of the pool's id, Dag, VM size or image, or of the name of a user.
    :param show: a standing, ``trouble``, or ``all``.
    :param sort: a key of :data:`SORTS`.
    """

    text: str = ""
    show: str = "all"
    sort: str = "attention"

    def accepts(self, pool: PoolOverview) -> bool:
        """Return whether a pool is shown."""
        if self.show == "trouble" and not pool.is_in_trouble:
            return False
        if self.show not in ("all", "trouble") and pool.standing.value != self.show:
            return False
        image = pool.image.image if pool.image else ""
        named = [pool.pool_id, pool.owner or "", pool.vm_size, image, *(user.username for user in pool.users)]
        return any(self.text.lower() in name.lower() for name in named)

    def select(self, pools: Sequence[PoolOverview]) -> list[PoolOverview]:
        """Return the pools that are shown, in their order."""
        key = SORTS.get(self.sort, SORTS["attention"])
        return sorted(filter(self.accepts, pools), key=lambda pool: (*key(pool), pool.pool_id.lower()))


_ORDER = (Standing.LEFT_BEHIND, Standing.LIVE, Standing.OVER, Standing.FOREIGN, Standing.DELETING)
_LATEST = float("inf")


def _seconds(instant: datetime | None) -> float:
    return instant.timestamp() if instant else _LATEST


SORTS: Mapping[str, Any] = {
    "attention": lambda pool: (not pool.is_in_trouble, _ORDER.index(pool.standing)),
    "pool": lambda _: (),
    "nodes": lambda pool: (-pool.nodes,),
    "oldest": lambda pool: (_seconds(pool.snapshot.created),),
    "end": lambda pool: (_seconds(pool.expires_at),),
    "node-hours": lambda pool: (-(pool.node_hours or 0),),
}
"""The orders of pools: what needs attention first, by id, most nodes, oldest, next end, most node-hours."""


def _standing(
    pool: Mapping[str, Any], marks: PoolMarks, facts: Facts, *, is_own: bool
) -> tuple[Standing, str]:
    """Return whether a pool is still needed, and the verdict of the sweeper's own function."""
    if str(pool.get("state")).lower() == "deleting":
        return Standing.DELETING, _PLAIN_VERDICTS[Standing.DELETING]
    if not is_own:
        return Standing.FOREIGN, _PLAIN_VERDICTS[Standing.FOREIGN]
    [owned] = owned_pools([pool], [str(facts.installation)])
    # What another Airflow runs is not known here: the sweeper does not count such a run as ended.
    live = [
        run
        for run in marks.all_holders
        if run.installation != facts.installation or facts.run_states.get(run) in ACTIVE_RUN_STATES
    ]
    sweep = sweep_of(owned, facts.at, runs_have_ended=not live)
    if sweep is not None:
        return Standing.LEFT_BEHIND, f"The sweeper would delete it: {sweep.reason}."
    if live:
        more = f", and so do {len(live) - 1} others" if live[1:] else ""
        return Standing.LIVE, f"R{str(live[-1])[1:]} uses it{more}."
    if marks.expires_at is not None:
        return Standing.OVER, "Its Dag runs have ended; the sweeper deletes it after its end."
    if marks.kept_until is not None:
        return Standing.OVER, "It is kept until its end; the sweeper deletes it afterwards."
    return Standing.OVER, "Not all Dag runs that use it are known: the sweeper keeps it."


def _user(entry: LedgerEntry, facts: Facts) -> UserOfPool:
    state = "owed" if entry.is_revoked else "overdue" if entry.is_over(facts.at) else "active"
    is_own = entry.by.get("installation") in (None, facts.installation)
    return UserOfPool(
        entry.username,
        state,
        entry.expires_at,
        entry.is_admin,
        entry.is_lease,
        entry.key,
        entry.by.get("dag_id") if is_own else None,
        ", ".join(f"{name} {entry.by[name]}" for name in ("dag_id", "run_id", "task_id") if name in entry.by)
        or entry.holder,
    )


def _node_hours(seen: PoolSnapshot, counts: Mapping[str, int], now: datetime) -> float | None:
    since = seen.allocation_state_since
    if seen.allocation_state != "steady" or since is None:
        return None
    idle = sum(counts.get(state, 0) for state in WITHOUT_MACHINE_STATES)
    return round(max(0, seen.current - idle) * max(timedelta(), now - since) / _HOUR, 1)


def _price(seen: PoolSnapshot, prices: NodePrices | None) -> float | None:
    if prices is None:
        return None
    parts = [(seen.current_dedicated, prices.dedicated), (seen.current_spot, prices.spot)]
    if any(number and price is None for number, price in parts):
        return None
    return round(sum(number * (price or 0) for number, price in parts), 4)
