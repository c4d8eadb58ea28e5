"""
How the entry of a user in the ledger changes: a state machine of pure functions.

An entry is absent, active, or revoked. A revoked entry is a mark: leases and later requests see it, and it
stays until no node owes the removal of the user.

==================  ========================================  ===========================================
event               active entry                              revoked entry
==================  ========================================  ===========================================
:func:`enter`       same run: goes on. Another run, after the the next generation, with the old debt
                    end or with ``take_over``: the next
                    generation, to which all nodes owe the
                    removal of the previous one
:func:`revoke`      revoked; all nodes owe the removal        stays
:func:`settle`      stays                                     what is owed; nothing: forgotten
:func:`pay`         what is owed of earlier generations       stays
:func:`note_some`   the nodes that could not be asked owe     the nodes that were asked no longer owe
                    the removal; the user stays wanted        it; nothing: forgotten
:func:`claim`,      requests are in flight, or no longer      the same
:func:`release`
==================  ========================================  ===========================================

Three rules make this safe for several writers. Requests of a generation are sent only after those of earlier
ones have ended (:meth:`LedgerEntry.fenced_until`). Requests are sent only while their claim holds
(:func:`holds_claim`). And a user is forgotten only when no request that adds it can be in flight: until then
all nodes owe it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_batchlinux.core.users.lease import LeaseEnd
from airflow_provider_batchlinux.core.users.ledger import ALL, NOTHING, Claim, LedgerEntry, Owed, may_forget

CLAIM_TIME = timedelta(minutes=10)
"""How long a claim holds; its owner renews it while it works."""

RENEWED_AFTER = timedelta(minutes=3)
"""After this time a claim is renewed, so that it outlives the longest request: retries take 5 minutes."""


def enter(before: LedgerEntry | None, wanted: LedgerEntry, now: datetime) -> LedgerEntry:
    """
    Return the entry after a user is given a name, given that :meth:`LedgerEntry.bars` permits it.

    :param before: the entry of the name; ``None`` if it is free.
    :param wanted: the new user; its debts and claims are ignored, and its generation is that of a free name.
    """
    if before is None:
        return replace(wanted, revoked_at=None, owed=NOTHING, claims=())
    claims = before.live_claims(now)
    if before.is_held_by(wanted.by) and not before.is_over(now):
        return replace(wanted, generation=before.generation, revoked_at=None, owed=before.owed, claims=claims)
    owed = before.owed if before.is_revoked else ALL
    return replace(wanted, generation=before.generation + 1, revoked_at=None, owed=owed, claims=claims)


def revoke(entry: LedgerEntry, now: datetime, nodes: Owed = ALL) -> LedgerEntry:
    """
    Return the entry after the access of its user is ended.

    :param nodes: the only nodes that can have the user.
    """
    return entry if entry.is_revoked else replace(entry, revoked_at=now, owed=nodes | entry.owed)


def settle(
    entry: LedgerEntry, owed: Owed, token: str, now: datetime, *, by_holder: bool
) -> LedgerEntry | None:
    """
    Return a revoked entry after nodes were asked to remove its user; ``None`` if it is forgotten.

    :param owed: the nodes that may still have the user.
    :param token: the claim of who has asked; it ends.
    :param by_holder: whether the holder itself ends the access, so that it needs no reminder.
    """
    after = release(entry, token, now)
    if any(claim.adds for claim in after.claims):
        owed = ALL
    after = replace(after, owed=owed)
    is_done = by_holder and after.is_settled and not after.claims
    return None if is_done or may_forget(after, now) else after


def pay(entry: LedgerEntry, owed: Owed, token: str, now: datetime) -> LedgerEntry:
    """
    Return an active entry after nodes were asked to remove users of earlier generations.

    :param owed: the nodes that may still have one.
    """
    return replace(release(entry, token, now), owed=owed)


def note_some(entry: LedgerEntry, done: Iterable[str], owed: Owed, now: datetime) -> LedgerEntry | None:
    """
    Return an entry after some nodes were asked to remove its user; ``None`` if it is forgotten.

    :param done: the nodes that no longer have the user.
    :param owed: the nodes that may still have it.
    """
    after = replace(entry, owed=entry.owed.without(done) | owed)
    return None if may_forget(after, now) else after


def claim(entry: LedgerEntry, token: str, now: datetime, *, adds: bool, earlier: bool = False) -> LedgerEntry:
    """
    Return the entry with a claim, new or renewed.

    :param adds: whether the requests add the user.
    :param earlier: whether they are about users of earlier generations.
    """
    mine = Claim(token, 0 if earlier else entry.generation, adds, now + CLAIM_TIME)
    return replace(entry, claims=(*release(entry, token, now).claims, mine))


def release(entry: LedgerEntry, token: str, now: datetime) -> LedgerEntry:
    """Return the entry without a claim, because its requests have all been answered."""
    return replace(entry, claims=tuple(one for one in entry.live_claims(now) if one.token != token))


def holds_claim(entry: LedgerEntry, token: str, now: datetime) -> bool:
    """
    Return whether a claim still keeps off the requests that must wait for it.

    A process that was suspended for longer than :data:`CLAIM_TIME` finds that its claim does not: others may
    have removed and added users since, and what it knows about the nodes is no longer true.
    """
    return any(one.token == token for one in entry.live_claims(now))


def may_add(entry: LedgerEntry | None, generation: int) -> bool:
    """Return whether a generation of a user may be added to nodes."""
    return entry is not None and entry.generation == generation and not entry.is_revoked


def may_remove(entry: LedgerEntry | None, generation: int) -> bool:
    """Return whether a generation of a user, which was revoked, may be removed from nodes."""
    return entry is not None and entry.generation == generation and entry.is_revoked


def may_pay(entry: LedgerEntry | None, now: datetime) -> bool:
    """Return whether others may remove the users of earlier generations: its holder is not at work."""
    return entry is not None and not entry.is_revoked and bool(entry.owed) and not entry.live_claims(now)


def lease_end(
    found: LedgerEntry | None, by: Mapping[str, str], ends_at: datetime, now: datetime
) -> LeaseEnd | None:
    """
    Return why a lease is over, by what the ledger has; ``None`` while it lasts.

    :param by: the holder of the lease.
    :param ends_at: its end.
    """
    if found is None:
        return LeaseEnd.REVOKED
    if dict(found.by) != dict(by):
        return LeaseEnd.TAKEN_OVER
    if found.revoked_at is not None and found.revoked_at < min(found.expires_at, ends_at):
        return LeaseEnd.REVOKED
    return LeaseEnd.EXPIRED if found.is_over(now) or ends_at <= now else None


def entry_to_continue(
    found: LedgerEntry | None, by: Mapping[str, str], *, is_lease: bool
) -> LedgerEntry | None:
    """
    Return the user whose access a retry continues; ``None`` if it begins one.

    The end of an access is fixed at the first try. An added user that was removed meanwhile, as by a kill,
    has none to continue; a lease that was revoked has, so that its retry only ends it.
    """
    if found is None or found.is_lease != is_lease or dict(found.by) != dict(by):
        return None
    return None if found.is_revoked and not is_lease else found
