"""``batchlinux users``: who has access to which nodes, and until when."""

from __future__ import annotations

import socket
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_verb, on_account, person
from airflow_provider_batchlinux.cli.terminal.output import (
    NothingDoneError,
    add_json,
    add_yes,
    batch_id,
    duration,
    print_json,
    print_list,
    print_table,
    require_consent,
    say,
    time_left,
)
from airflow_provider_batchlinux.cli.terminal.own_key import own_key
from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.text import counted, joined

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.reconcile import UserTarget, UserWork
    from airflow_provider_batchlinux.client.users.revoke import AuditedUser, Revocation
    from airflow_provider_batchlinux.core.users.user import UserRecord

_LEDGER_HEADER = ("POOL", "USER", "UNTIL", "LEFT", "STATE", "SUDO", "KEY", "ADDED BY")
_NODES_HEADER = ("NODE", "STATE", "USER", "LOG IN WITH")
_USUAL_LIMIT = timedelta(hours=4)
_MAX_CONCURRENCY = 16


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    verbs = commands.add_parser("users", help="list, add, revoke and audit users of nodes").add_subparsers(
        metavar="VERB", required=True
    )
    listed = add_verb(
        verbs, "list", _list, "list the users that are recorded in the metadata of pools", add_json
    )
    audit = add_verb(
        verbs, "audit", _audit, "list overdue users, and pools whose SSH is open to all",
        add_json, add_yes,
    )  # fmt: skip
    audit.add_argument("--revoke", action="store_true", help="also remove the overdue users from their nodes")
    for parser in (listed, audit):
        parser.add_argument("pools", metavar="POOL", type=batch_id, nargs="*", help="only this pool")
    add = add_verb(verbs, "add", _add, "add a user with an SSH key to nodes", add_json)
    revoke = add_verb(verbs, "revoke", _revoke, "remove a user from all nodes of a pool", add_json, add_yes)
    for parser in (add, revoke):
        parser.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
        parser.add_argument("user", metavar="USER", help="the user's name")
    add.add_argument(
        "nodes",
        metavar="NODE",
        type=batch_id,
        nargs="*",
        help="the node's id; default: all nodes that are ready",
    )
    add.add_argument(
        "--key", metavar="FILE", type=Path, help="the file of the public key; default: your own, as for ssh"
    )
    add.add_argument(
        "--expires-in", metavar="TIME", type=duration, default=_USUAL_LIMIT,
        help="the time of access, such as 30m, 2h or 1d (default: 4h); 'users audit --revoke', the sweeper "
        "or a lease removes the user after it",
    )  # fmt: skip
    add.add_argument("--admin", action="store_true", help="give the user sudo")
    add.add_argument(
        "--take-over", action="store_true", help="also if another holder has a user of this name"
    )


def _list(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> tuple[list[AuditedUser], datetime]:
        from airflow_provider_batchlinux.client.users.revoke import audited_users

        await _require_pools(client, options.pools)
        return await audited_users(client, options.pools or None), client.clock.now()

    users, now = on_account(options, work)
    if options.json:
        print_json([_plain(user, now) for user in users])
    else:
        _print_users(users, now)
    return 0


def _audit(options: Namespace) -> int:
    async def look(client: BatchLinuxClient) -> tuple[list[AuditedUser], list[dict[str, str]], datetime]:
        from airflow_provider_batchlinux.client.nodes.endpoints import open_pools
        from airflow_provider_batchlinux.client.users.revoke import audited_users

        await _require_pools(client, options.pools)
        pool_ids = options.pools or None
        return await audited_users(client, pool_ids), await open_pools(client, pool_ids), client.clock.now()

    users, open_to_all, now = on_account(options, look)
    due = [user for user in users if user.reason(now) is not None]
    revocations: list[Revocation] = []
    if options.revoke and due:
        require_consent(options, f"Remove {counted(len(due), 'overdue user')} from nodes?")

        async def revoke(client: BatchLinuxClient) -> list[Revocation]:
            from airflow_provider_batchlinux.client.users.revoke import revoke_overdue

            return await revoke_overdue(client, due, client.clock.now())

        revocations = on_account(options, revoke)
    if options.json:
        print_json(
            {
                "users": [_plain(user, now) for user in users],
                "open_pools": open_to_all,
                "revoked": [user.to_dict() for user in revocations if user.is_done],
                "owed": [owed for user in revocations for owed in user.owed_nodes],
            }
        )
    else:
        _print_users(due, now)
        removed = sum(user.is_done for user in revocations)
        say(f"{counted(len(users), 'user')}, of which {len(due)} overdue; {removed} removed.")
    if revocations:
        from airflow_provider_batchlinux.client.users.revoke import require_revoked

        require_revoked(revocations)
    # What is overdue and was not removed, or an open pool, is to be noticed by a scheduled job, too.
    is_clean = len(due) == sum(user.is_done for user in revocations) and not open_to_all
    return 0 if is_clean else 1


def _add(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.users.reconcile import AddUser, UserTarget
    from airflow_provider_batchlinux.core.node_states import READY_STATES
    from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
    from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
    from airflow_provider_batchlinux.core.users.user import NodeUser

    user = NodeUser(
        username=options.user,
        expires_at=datetime.now(timezone.utc) + options.expires_in,
        ssh_public_key=own_key(options.key).line,
        is_admin=options.admin,
    )
    if problems := [*id_problems("POOL", options.pool), *user.problems()]:
        raise ValueError("\n".join(problems))
    entry = LedgerEntry(user.username, user.expires_at, _person(), user.fingerprint, user.is_admin)
    choice = NodeChoice(options.nodes) if options.nodes else NodeChoice(states=READY_STATES)
    work = AddUser(user, entry, max_concurrency=_MAX_CONCURRENCY, take_over=options.take_over)
    records = on_account(options, lambda client: _apply(client, UserTarget(options.pool, choice), work))
    _print_records(options, records)
    if not any(record.has_user for record in records):
        msg = f"Nothing was done: user {options.user!r} is on no node of pool {options.pool!r}."
        raise NothingDoneError(msg)
    say(f"User {options.user!r} is recorded until {user.expires_at:%Y-%m-%d %H:%M} UTC.")
    return 0 if all(record.has_user for record in records) else 1


def _revoke(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.users.reconcile import RemoveUser, UserTarget
    from airflow_provider_batchlinux.core.users.user import UserOutcome

    async def holder(client: BatchLinuxClient) -> str:
        from airflow_provider_batchlinux.client.users.ledger import read_ledger

        entries = await read_ledger(client, options.pool)
        if entries is None:
            msg = f"Pool {options.pool!r} does not exist."
            raise ValueError(msg)
        entry = entries.get(options.user)
        return f"which {entry.holder} has added" if entry else "which its ledger does not have"

    who = on_account(options, holder)
    require_consent(options, f"Remove user {options.user!r}, {who}, from all nodes of pool {options.pool!r}?")
    work = RemoveUser(options.user, _person(), _MAX_CONCURRENCY, take_over=True)
    records = on_account(options, lambda client: _apply(client, UserTarget(options.pool), work))
    _print_records(options, records)
    if not any(record.outcome is not UserOutcome.ABSENT for record in records):
        msg = f"Nothing was done: no node of pool {options.pool!r} has user {options.user!r}."
        raise NothingDoneError(msg)
    return 0 if all(record.outcome in (UserOutcome.REMOVED, UserOutcome.ABSENT) for record in records) else 1


async def _require_pools(client: BatchLinuxClient, pool_ids: list[str]) -> None:
    """Raise an error if a pool does not exist: none of its users is overdue, which is no good news."""
    missing = [pool_id for pool_id in pool_ids if await client.find_pool(pool_id) is None]
    if missing:
        msg = f"The account has no pool {joined(missing)}."
        raise ValueError(msg)


async def _apply(client: BatchLinuxClient, target: UserTarget, work: UserWork) -> list[UserRecord]:
    from airflow_provider_batchlinux.client.users.reconcile import pool_of, reconcile

    pool = await pool_of(client, target)
    if pool is None:
        msg = f"Pool {target.pool_id!r} does not exist."
        raise ValueError(msg)
    result = await reconcile(client, target, pool, work)
    await work.conclude(client, target, result)
    return result.all_records


def _person() -> dict[str, str]:
    """Return the holder as the ledger has it. The same person may change the user again."""
    return {"person": person(), "host": socket.gethostname()}


def _plain(user: AuditedUser, now: datetime) -> dict[str, Any]:
    return {"pool_id": user.pool_id, **user.entry.to_result(), "overdue": user.entry.is_over(now)}


def _print_users(users: list[AuditedUser], now: datetime) -> None:
    rows = [
        (
            user.pool_id,
            user.entry.username,
            user.entry.expires_at,
            time_left(user.entry.expires_at),
            user.reason(now) or "current",
            user.entry.is_admin,
            user.entry.key,
            user.entry.holder,
        )
        for user in users
    ]
    print_table(_LEDGER_HEADER, rows)


def _print_records(options: Namespace, records: list[UserRecord]) -> None:
    print_list(
        options,
        records,
        _NODES_HEADER,
        lambda r: (r.node_id, r.state, r.outcome.value, r.error or r.ssh_command),
        lambda record: record.to_result(),
    )
