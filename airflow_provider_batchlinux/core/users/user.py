"""A user on Linux nodes: its rules, its REST bodies, and the records of what was done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, TypeAlias

from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.parameters.kinds import Kind, required_text_of
from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.text import joined, table
from airflow_provider_batchlinux.core.users.credentials import (
    fingerprint,
    password_problems,
    public_key_problems,
)

_USERNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_USUAL_USERNAME = re.compile(r"[a-z_][a-z0-9_-]*")
_EXPLAINED = 20
_TAKEN_NAMES = frozenset({"root", "_azbatch"})


class UserOutcome(str, Enum):
    """
    The outcome for the user on one node.

    A node that owes the removal of a user may have it, and cannot be asked now.
    """

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    ABSENT = "absent"
    SKIPPED = "skipped"
    OWED = "owed"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class NodeUser:
    """
    A user to have on every node.

    :param username: the Linux user name.
    :param expires_at: when the service may remove the user. On Linux it looks at the day only.
    :param password: the password, or ``None`` for none.
    :param ssh_public_key: one line in OpenSSH's form, or ``None`` for none. It is not shown, since it may
        be a private key by mistake.
    :param is_admin: whether the user may use ``sudo``. The service cannot change it later.
    """

    username: str
    expires_at: datetime
    password: str | None = field(default=None, repr=False)
    ssh_public_key: str | None = field(default=None, repr=False)
    is_admin: bool = False

    @property
    def fingerprint(self) -> str | None:
        """The public key's fingerprint as ``ssh-keygen -l`` shows it; ``None`` without a key."""
        if not self.ssh_public_key:
            return None
        return fingerprint(self.ssh_public_key)

    def problems(self) -> list[str]:
        """List all that is wrong, without repeating a secret."""
        found = username_problems(self.username)
        if not self.password and not self.ssh_public_key:
            found.append("Neither ssh_public_key nor password is given, so a login is impossible.")
        if self.password:
            found.extend(password_problems(self.password))
        if self.ssh_public_key:
            found.extend(public_key_problems(self.ssh_public_key))
        return found

    def to_create_rest(self) -> dict[str, Any]:
        """Build the body that adds the user."""
        return {"name": self.username, "isAdmin": self.is_admin, **self.to_replace_rest()}

    def to_replace_rest(self) -> dict[str, Any]:
        """Build the body that replaces the user's key, password and expiry: what is left out is removed."""
        body: dict[str, Any] = {"expiryTime": rest_instant(self.expires_at)}
        if self.password:
            body["password"] = self.password
        if self.ssh_public_key:
            body["sshPublicKey"] = self.ssh_public_key.strip()
        return body


@dataclass(frozen=True)
class UserRecord:
    """
    What was done on one node, and how to reach it.

    :param address: where SSH is reached; ``None`` when the node names no address.
    :param public: whether that address is reached from outside the virtual network.
    :param error: the service's refusal when the outcome is failed.
    :param code: its code; ``None`` when it gave none, or did not answer.
    :param note: what else is to be known of the user on this node.
    """

    node_id: str
    state: str
    outcome: UserOutcome
    username: str
    address: str | None = None
    port: int | None = None
    public: bool = False
    error: str | None = None
    code: str | None = None
    note: str | None = None

    @classmethod
    def of(
        cls, node: NodeSnapshot, username: str, outcome: UserOutcome, *, error: str | None = None,
        code: str | None = None, note: str | None = None, endpoint: Endpoint | None = None,
    ) -> UserRecord:  # fmt: skip
        """Record an outcome on a node, reached at an endpoint where there is one."""
        return cls(
            node.node_id,
            node.state,
            outcome,
            username,
            address=endpoint.address if endpoint else None,
            port=endpoint.port if endpoint else None,
            public=bool(endpoint and endpoint.public),
            error=error,
            code=code,
            note=note,
        )

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> UserRecord:
        """Read a record from what :meth:`to_result` gave."""
        given = {name: value for name, value in result.items() if name != "ssh_command"}
        return cls(**{**given, "outcome": UserOutcome(given["outcome"])})

    @property
    def has_user(self) -> bool:
        """Whether the user is on the node now."""
        return self.outcome in (UserOutcome.ADDED, UserOutcome.UPDATED)

    @property
    def ssh_command(self) -> str | None:
        """The command that logs in; ``None`` without an address."""
        if self.address is None:
            return None
        return f"ssh -p {self.port} {self.username}@{self.address}"

    def to_result(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {**asdict(self), "outcome": self.outcome.value, "ssh_command": self.ssh_command}


def username_problems(username: object) -> list[str]:
    """
    List why Linux or the service would refuse a user name.

    The service documents no rule for node users. It accepts capital letters (recorded), which only some
    tools of Linux refuse: :func:`username_warnings` has those.
    """
    if not isinstance(username, str) or not _USERNAME.fullmatch(username):
        return [
            f"username={username!r} is not a Linux user name: a letter or '_' first, then at most "
            "31 letters, digits, '-', '_' or '.'."
        ]
    if username in _TAKEN_NAMES:
        return [f"username={username!r} belongs to the system or to Batch; choose another."]
    return []


def username_warnings(username: str) -> list[str]:
    """List what may not work with a user name that the service accepts."""
    if _USUAL_USERNAME.fullmatch(username):
        return []
    return [
        f"username={username!r} has capital letters or dots. The service accepts it, but some distributions"
        " and tools of Linux do not."
    ]


Username: TypeAlias = Annotated[
    str, Kind("a user name", required_text_of, lambda _, username: username_problems(username))
]
"""The name of a user."""


def failures_text(failed: Sequence[UserRecord]) -> str:
    """Name every node that failed: some with the service's message, the rest by the service's code."""
    shown, rest = failed[:_EXPLAINED], failed[_EXPLAINED:]
    lines = [f"node {record.node_id!r} ({record.state}): {record.error}" for record in shown]
    for code in sorted({record.code or "no answer" for record in rest}):
        names = [repr(record.node_id) for record in rest if (record.code or "no answer") == code]
        lines.append(f"{code}: {', '.join(names)}")
    summary = joined([record.node_id for record in failed])
    return f"{summary}." + "".join(f"\n  {line}" for line in lines)


def records_table(records: Iterable[UserRecord]) -> str:
    """Format records as a table for the log."""
    rows = []
    for record in records:
        login = record.ssh_command or ("no address" if record.has_user else "-")
        rows.append((record.node_id, record.state, record.outcome.value, record.error or login))
    return table(("node", "state", "user", "log in with"), rows)
