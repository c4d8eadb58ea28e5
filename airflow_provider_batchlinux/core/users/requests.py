"""The requests of the operators for users of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from airflow_provider_batchlinux.core.instants import expiry_of
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice, NodeState
from airflow_provider_batchlinux.core.nodes.addresses import AddressKind
from airflow_provider_batchlinux.core.parameters.kinds import (
    ALL_IF_NONE,
    CountOrShare,
    Flag,
    Id,
    Instant,
    PositiveCount,
    Seconds,
    ServiceId,
    Text,
)
from airflow_provider_batchlinux.core.parameters.reader import Request
from airflow_provider_batchlinux.core.parameters.requests import OperatorRequest, WaitRequest
from airflow_provider_batchlinux.core.users.credentials import KeyFile, Password, PublicKey
from airflow_provider_batchlinux.core.users.user import Username


@dataclass(frozen=True)
class NodeUsersRequest(WaitRequest):
    """
    A change of a user on nodes.

    :param username: the user's name.
    :param node_ids: the nodes; ``None`` for all.
    :param states: only nodes in these states; ``None`` for all.
    :param where: an OData filter on the list of nodes; ``None`` for none.
    :param take_over: whether a user of another Dag run is changed, too.
    :param max_failed_nodes: how many nodes may fail.
    :param wait_for_nodes: whether to wait for nodes that are starting.
    :param timeout: the seconds to wait for them at most.
    :param max_concurrency: how many calls may be in flight.
    """

    username: Username
    node_ids: Annotated[tuple[ServiceId, ...] | None, ALL_IF_NONE]
    states: Annotated[tuple[NodeState, ...] | None, ALL_IF_NONE]
    where: Annotated[Text | None, ALL_IF_NONE]
    take_over: Flag
    max_failed_nodes: CountOrShare
    wait_for_nodes: Flag
    timeout: Seconds
    max_concurrency: PositiveCount

    @property
    def choice(self) -> NodeChoice:
        """Which nodes are meant."""
        return NodeChoice(self.node_ids, self.states)


@dataclass(frozen=True)
class RemoveNodeUsersRequest(NodeUsersRequest):
    """
    The removal of a user from nodes.

    :param allow_empty: whether it is fine if the selection matches no node.
    """

    allow_empty: Flag


@dataclass(frozen=True)
class ExpiringUser(Request):
    """
    A user who logs in until an instant: what an added and a leased user have in common.

    :param ssh_public_key: the public key; ``None`` for none.
    :param generate_key: the file of a key to generate; ``None`` for none.
    :param expires_in: the seconds that the user is needed; ``None`` if ``expires_at`` is given.
    :param expires_at: until when the user is needed; ``None`` if ``expires_in`` is given.
    :param is_admin: whether the user may use ``sudo``.
    :param address: where people log in; ``None`` prefers the public address.
    :cvar PASSWORD: the parameter that stands for a password.
    """

    ssh_public_key: PublicKey | None
    generate_key: KeyFile | None
    expires_in: Seconds | None
    expires_at: Instant | None
    is_admin: Flag
    address: AddressKind | None

    PASSWORD: ClassVar[str]

    def problems(self) -> list[str]:
        """List the parameters that do not go together."""
        found = []
        if (self.expires_in is None) == (self.expires_at is None):
            found.append("Give exactly one of expires_in and expires_at.")
        if self.generate_key is not None and self.ssh_public_key is not None:
            found.append("generate_key and ssh_public_key are both given; choose one.")
        given = (self.generate_key, self.ssh_public_key, getattr(self, self.PASSWORD))
        if all(way is None for way in given):
            found.append(f"Neither ssh_public_key nor {self.PASSWORD} is given, so a login is impossible.")
        return found

    def until(self, now: datetime) -> datetime:
        """
        Return when the user expires.

        :raises ValueError: if that is in the past.
        """
        return expiry_of(self.expires_in, self.expires_at, now)


@dataclass(frozen=True)
class AddNodeUsersRequest(ExpiringUser, NodeUsersRequest):
    """
    A user to add to nodes.

    :param password: the password; ``None`` for none.
    :param recreate: whether a user that exists is removed first.
    """

    password: Password | None
    recreate: Flag

    PASSWORD = "password"


@dataclass(frozen=True)
class LeaseNodeUsersRequest(ExpiringUser, WaitRequest):
    """
    A lease of a user on all nodes of a pool.

    :param username: the user's name.
    :param password_conn_id: the connection with the password; ``None`` for none.
    :param until_task_ids: tasks whose end ends the lease; ``None`` for none.
    :param take_over: whether a user of another Dag run is taken over.
    :param owed_limit: the seconds that the lease stays for nodes that owe the removal of the user.
    :param max_concurrency: how many calls may be in flight.
    """

    username: Username
    password_conn_id: Text | None
    until_task_ids: tuple[Text, ...] | None
    take_over: Flag
    owed_limit: Seconds
    max_concurrency: PositiveCount

    PASSWORD = "password_conn_id"


@dataclass(frozen=True)
class AuditNodeUsersRequest(OperatorRequest):
    """
    An audit of the users on pools.

    :param pool_ids: the pools; ``None`` for all.
    :param revoke: whether overdue users are removed.
    :param allow_empty: whether it is fine if no pool is selected.
    """

    pool_ids: Annotated[tuple[Id, ...] | None, ALL_IF_NONE]
    revoke: Flag
    allow_empty: Flag
