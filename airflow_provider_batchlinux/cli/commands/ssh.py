"""``batchlinux ssh``: log in to a node with the caller's own key, as a user that is removed afterwards."""

from __future__ import annotations

import argparse
import re
import secrets
import socket
import tempfile
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_account_options, hook_and_settings, person
from airflow_provider_batchlinux.cli.terminal.output import batch_id, duration, say
from airflow_provider_batchlinux.cli.terminal.own_key import OwnKey, own_key
from airflow_provider_batchlinux.cli.terminal.ssh_program import SshCall, ending_signals, require_ssh

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.users.user import UserRecord
    from airflow_provider_batchlinux.hooks._temporary_login import TemporaryLogin

_USUAL_LIMIT = timedelta(hours=4)
# Leaves room for the digits that make the name unique: Linux allows 32 characters.
_NAME_LENGTH = 20
_TIME_OVER = 124
"""The exit status if the time limit was reached, as that of the command ``timeout``."""
_SSH_FAILED = 255

_DESCRIPTION = """\
Log in to a node of POOL with your own SSH key. A user is created for this login, and removed when the login
ends: also after Ctrl-C, a closed terminal or kill, and when --expires-in is over. Without NODE, an idle node
is used. A command after '--' is run instead of a shell. For ids that begin with a hyphen, put all options and
another '--' before them. The exit status is that of ssh, or 124 if the time is over."""


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "ssh",
        usage="batchlinux ssh POOL [NODE] [options] [-- COMMAND ...]",
        help="log in to a node as a user that is removed when you leave",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
    parser.add_argument("node", metavar="NODE", type=batch_id, nargs="?", help="the node's id")
    parser.add_argument(
        "--user", metavar="NAME", help="the user's name; by default, a name is created for this login"
    )
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="the public key, or the private key beside it"
    )
    parser.add_argument(
        "--expires-in", metavar="TIME", type=duration, default=_USUAL_LIMIT,
        help="end the login after this time at the latest, such as 30m, 2h or 1d (default: 4h)",
    )  # fmt: skip
    parser.add_argument("--admin", action="store_true", help="give the user sudo")
    parser.add_argument(
        "--address", choices=("public", "private"), default="public",
        help="reach the node from outside (default), or within its virtual network",
    )  # fmt: skip
    parser.add_argument(
        "--known-hosts", metavar="FILE", type=Path,
        help="require the node's host key to be in this file; by default, any key is accepted for this login",
    )  # fmt: skip
    parser.add_argument("-o", metavar="OPTION", dest="ssh_options", action="append", default=[],
                        help="an option for ssh, as its own -o takes it")  # fmt: skip
    add_account_options(parser)
    parser.set_defaults(command=_run)


def _run(options: Namespace) -> int:
    require_ssh()
    key = own_key(options.key)
    login = _login(options, key)
    with ending_signals() as signals, tempfile.TemporaryDirectory(prefix="batchlinux-ssh-") as folder:
        try:
            record = login.add_to_one()
            expires_at = login.user.user.expires_at
            say(
                f"User {record.username!r} is on node {record.node_id!r} ({record.state}) of pool "
                f"{options.pool!r} until this login ends, or {expires_at:%Y-%m-%d %H:%M:%S} UTC."
            )
            status = _ssh_call(options, key, record, Path(folder)).run(_seconds_left(expires_at))
        finally:
            # The user must be removed, so the signals that end the login do not interrupt that.
            signals.hold_off()
            _remove(login)
    # The node may end the session at the time limit before this process does.
    if status is None or (status == _SSH_FAILED and _seconds_left(expires_at) == 0):
        say("The time limit of this login was reached.")
        return _TIME_OVER
    return status


def _login(options: Namespace, key: OwnKey) -> TemporaryLogin:
    from airflow_provider_batchlinux.client.users.temporary import TemporaryUser
    from airflow_provider_batchlinux.core.users.user import NodeUser
    from airflow_provider_batchlinux.hooks._temporary_login import TemporaryLogin

    name, session = person(), secrets.token_hex(3)
    user = NodeUser(
        username=options.user or _username(name, session),
        expires_at=datetime.now(timezone.utc) + options.expires_in,
        ssh_public_key=key.line,
        is_admin=options.admin,
    )
    if problems := user.problems():
        raise ValueError("\n".join(problems))
    # The session distinguishes two logins of the same person.
    by = {"person": name, "host": socket.gethostname(), "session": session}
    hook, settings = hook_and_settings(options)
    node_ids = [options.node] if options.node else None
    return TemporaryLogin(hook, settings, TemporaryUser(options.pool, user, by, node_ids, options.address))


def _remove(login: TemporaryLogin) -> None:
    from airflow_provider_batchlinux.exceptions import BatchLinuxError

    username = login.user.user.username
    node = f"node {login.user.node_ids[0]!r}" if login.user.node_ids else "its node"
    try:
        was_there = login.remove()
    except BatchLinuxError:
        say(
            f"User {username!r} may still be on {node}. It is recorded in the pool's ledger, and "
            "BatchLinuxAuditNodeUsersOperator(revoke=True) removes it after it has expired."
        )
        raise
    if was_there:
        say(f"User {username!r} has been removed from {node}.")


def _seconds_left(expires_at: datetime) -> float:
    return max(0.0, (expires_at - datetime.now(timezone.utc)).total_seconds())


def _ssh_call(options: Namespace, key: OwnKey, record: UserRecord, folder: Path) -> SshCall:
    identity = key.identity
    if identity is None:
        # A file with the public key tells ssh which key of the agent to use.
        identity = folder / "key.pub"
        identity.write_text(f"{key.line}\n", encoding="utf-8")
    assert record.address is not None, "add_to_one() requires one"
    assert record.port is not None, "an address has one"
    return SshCall(
        record.username,
        record.address,
        record.port,
        identity=identity,
        known_hosts=options.known_hosts or folder / "known_hosts",
        is_strict=options.known_hosts is not None,
        options=options.ssh_options,
        command=options.remote_command,
    )


def _username(name: str, session: str) -> str:
    """Return a unique Linux user name that begins with the person's."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_NAME_LENGTH]
    return f"{plain if plain[:1].isalpha() else f'ops-{plain}'.rstrip('-')}-{session}"
