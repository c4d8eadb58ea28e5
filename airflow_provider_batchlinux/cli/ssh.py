"""``batchlinux ssh``: a login to a node with the caller's own key, by a user that goes when it ends."""

from __future__ import annotations

import argparse
import getpass
import re
import secrets
import socket
import sys
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli._own_key import OwnKey, own_key
from airflow_provider_batchlinux.cli._ssh_program import SshCall, ending_signals, require_ssh
from airflow_provider_batchlinux.cli.account import add_account_options, hook_and_settings
from airflow_provider_batchlinux.core.ids import id_problems

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.users.user import NodeUser, UserRecord
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

__all__ = ["add_command"]

_SPAN = re.compile(r"([1-9]\d{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_USUAL_LIMIT = timedelta(hours=4)
_NAME_LENGTH = 20
_TIME_OVER = 124
"""The exit status when the time was over first, as ``timeout`` has it."""
_SSH_FAILED = 255
_CLEAN_UP_BUDGET = 60.0
"""Seconds: nobody waits for minutes at a terminal, and the ledger remembers what is left to do."""

_DESCRIPTION = """\
Log in to a node of POOL with your own SSH key. A user is made for this login, and removed when it ends: also
by Ctrl-C, a closed terminal or kill, and when --expires-in is over. Without NODE, an idle node is taken. With
a command after '--' that is run instead of a shell. The exit status is that of ssh, or 124 when the time was
over."""


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "ssh",
        usage="batchlinux ssh POOL [NODE] [options] [-- COMMAND ...]",
        help="log in to a node with a user that goes when you leave",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pool", metavar="POOL", help="the pool's id")
    parser.add_argument("node", metavar="NODE", nargs="?", help="the node's id")
    parser.add_argument("--user", metavar="NAME", help="the user's name, instead of one made for this login")
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="the public key, or the private one beside it"
    )
    parser.add_argument(
        "--expires-in", metavar="TIME", type=_span, default=_USUAL_LIMIT,
        help="end the login after this time at the latest, such as 30m, 2h or 1d (default: 4h)",
    )  # fmt: skip
    parser.add_argument("--admin", action="store_true", help="give the user sudo")
    parser.add_argument(
        "--address", choices=("public", "private"), default="public",
        help="reach the node from outside (default), or within its virtual network",
    )  # fmt: skip
    parser.add_argument(
        "--known-hosts", metavar="FILE", type=Path,
        help="require the node's host key to be in this file; by default, any is taken for this login",
    )  # fmt: skip
    parser.add_argument("-o", metavar="OPTION", dest="ssh_options", action="append", default=[],
                        help="an option for ssh, as its own -o takes it")  # fmt: skip
    add_account_options(parser)
    parser.set_defaults(command=_run, takes_remote_command=True)


def _run(options: Namespace) -> int:
    require_ssh()
    key = own_key(options.key)
    login = _Login.of(options, key)
    with ending_signals() as signals, tempfile.TemporaryDirectory(prefix="batchlinux-ssh-") as folder:
        try:
            record = login.begin()
            _say(login.announcement(record))
            status = _ssh_call(options, key, record, Path(folder)).run(login.seconds_left())
        finally:
            signals.hold_off()
            login.end()
    # When the time is over, the node may end the session before we do.
    if status is None or (status == _SSH_FAILED and login.seconds_left() == 0):
        _say("The time of this login was over.")
        return _TIME_OVER
    return status


@dataclass
class _Login:
    """
    One login, from the user's first moment to its last.

    :param node_id: the node; ``None`` until one is chosen.
    :param by: what the ledger says of the holder. The session keeps two logins of one person apart.
    """

    hook: BatchLinuxHook
    settings: AccountSettings
    pool_id: str
    node_id: str | None
    user: NodeUser
    by: Mapping[str, str]
    address: Any

    @classmethod
    def of(cls, options: Namespace, key: OwnKey) -> _Login:
        from airflow_provider_batchlinux.core.users.user import NodeUser

        session = secrets.token_hex(3)
        user = NodeUser(
            username=options.user or _username(getpass.getuser(), session),
            expires_at=datetime.now(timezone.utc) + options.expires_in,
            ssh_public_key=key.line,
            is_admin=options.admin,
        )
        if problems := [*id_problems("POOL", options.pool), *user.problems()]:
            raise ValueError("\n".join(problems))
        by = {"person": getpass.getuser(), "host": socket.gethostname(), "session": session}
        hook, settings = hook_and_settings(options)
        return cls(hook, settings, options.pool, options.node, user, by, options.address)

    def begin(self) -> UserRecord:
        from airflow_provider_batchlinux.client.users.short_login import add_login, pick_node

        async def story(client: Any) -> UserRecord:
            self.node_id = self.node_id or await pick_node(client, self.pool_id)
            return await add_login(
                client, self.pool_id, self.node_id, self.user, self.by, address=self.address
            )

        return self.hook.run(story, settings=self.settings)

    def end(self) -> None:
        """Take the user off, also when it is not sure that it was ever put there."""
        from airflow_provider_batchlinux.client.users.short_login import remove_login
        from airflow_provider_batchlinux.exceptions import BatchLinuxError

        if self.node_id is None:
            return
        node_id, username = self.node_id, self.user.username
        hasty = replace(self.settings, retry_budget=min(self.settings.retry_budget, _CLEAN_UP_BUDGET))
        try:
            was_there = self.hook.run(
                lambda client: remove_login(client, self.pool_id, node_id, username, self.by), settings=hasty
            )
        except BatchLinuxError:
            _say(
                f"User {username!r} may still be on node {node_id!r}. The pool's ledger keeps it, for "
                "BatchLinuxAuditNodeUsersOperator(revoke=True) to take off once its time is over."
            )
            raise
        if was_there:
            _say(f"User {username!r} is off node {node_id!r} again.")

    def seconds_left(self) -> float:
        return max(0.0, (self.user.expires_at - datetime.now(timezone.utc)).total_seconds())

    def announcement(self, record: UserRecord) -> str:
        return (
            f"User {self.user.username!r} is on node {record.node_id!r} ({record.state}) of pool "
            f"{self.pool_id!r} until this login ends, or {self.user.expires_at:%Y-%m-%d %H:%M:%S} UTC."
        )


def _ssh_call(options: Namespace, key: OwnKey, record: UserRecord, folder: Path) -> SshCall:
    identity = key.identity
    if identity is None:
        # Which of the agent's keys to use, ssh is told by a file of the public half.
        identity = folder / "key.pub"
        identity.write_text(f"{key.line}\n", encoding="utf-8")
    assert record.address is not None, "add_login() sees to it"
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


def _username(person: str, session: str) -> str:
    """Make a Linux user name that tells whose it is, and is nobody else's."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", person.lower()).strip("-")[:_NAME_LENGTH]
    return f"{plain if plain[:1].isalpha() else f'ops-{plain}'.rstrip('-')}-{session}"


def _span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no time such as 90s, 30m, 2h or 1d"
        raise ArgumentTypeError(msg)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
