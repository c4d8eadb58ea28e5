"""User accounts that a pool's tasks can run as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from airflow_provider_batchlinux.core.pools.spec.base import Spec

__all__ = ["UserAccountSpec"]


@dataclass(frozen=True)
class UserAccountSpec(Spec):
    """
    A user account on every node, which tasks and the start task can run as.

    People who log in by SSH are another matter: see
    :class:`~airflow_provider_batchlinux.operators.node_users.BatchLinuxAddNodeUsersOperator`.

    :param name: the account's name, at most 20 characters.
    :param password: its password.
    :param elevation: ``nonadmin`` or ``admin``; ``None`` is the service's default, the former.
    :param uid: its user id; ``None`` lets the system choose. Given only together with ``gid``.
    :param gid: its group id; ``None`` lets the system choose.
    :param ssh_private_key: a private key without passphrase, by which the account gets from node to node
        where the nodes may talk to each other.
    """

    name: str
    password: str = field(repr=False)
    elevation: str | None = None
    uid: int | None = None
    gid: int | None = None
    ssh_private_key: str | None = field(default=None, repr=False)

    REST: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "password": "password",
        "elevation": "elevationLevel",
        "uid": "linuxUserConfiguration.uid",
        "gid": "linuxUserConfiguration.gid",
        "ssh_private_key": "linuxUserConfiguration.sshPrivateKey",
    }
