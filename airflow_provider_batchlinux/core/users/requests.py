"""The requests of the operators for users of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

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
class AddNodeUsersRequest(NodeUsersRequest):
    """
    A user to add to nodes.

    :param ssh_public_key: the public key; ``None`` for none.
    :param password: the password; ``None`` for none.
    :param generate_key: the file of a key to generate; ``None`` for none.
    :param expires_in: the seconds that the user is needed; ``None`` if ``expires_at`` is given.
    :param expires_at: until when the user is needed; ``None`` if ``expires_in`` is given.
    :param is_admin: whether the user may use ``sudo``.
    :param recreate: whether a user that exists is removed first.
    :param address: where people log in; ``None`` prefers the public address.
    """

    ssh_public_key: PublicKey | None
    password: Password | None
    generate_key: KeyFile | None
    expires_in: Seconds | None
    expires_at: Instant | None
    is_admin: Flag
    recreate: Flag
    address: AddressKind | None

    def problems(self) -> list[str]:
        """List the parameters that do not go together."""
        return [
            *_expiry_problems(self.expires_in, self.expires_at),
            *_key_problems(self.ssh_public_key, self.generate_key, self.password, "password"),
        ]

    def until(self, now: datetime) -> datetime:
        """
        Return when the user expires.

        :raises ValueError: if that is in the past.
        """
        return expiry_of(self.expires_in, self.expires_at, now)


@dataclass(frozen=True)
class LeaseNodeUsersRequest(WaitRequest):
    """
    A lease of a user on all nodes of a pool.

    :param username: the user's name.
    :param ssh_public_key: the public key; ``None`` for none.
    :param password_conn_id: the connection with the password; ``None`` for none.
    :param generate_key: the file of a key to generate; ``None`` for none.
    :param expires_in: the seconds that the lease lasts; ``None`` if ``expires_at`` is given.
    :param expires_at: until when it lasts; ``None`` if ``expires_in`` is given.
    :param is_admin: whether the user may use ``sudo``.
    :param until_task_ids: tasks whose end ends the lease; ``None`` for none.
    :param take_over: whether a user of another Dag run is taken over.
    :param address: where people log in; ``None`` prefers the public address.
    :param max_concurrency: how many calls may be in flight.
    """

    username: Username
    ssh_public_key: PublicKey | None
    password_conn_id: Text | None
    generate_key: KeyFile | None
    expires_in: Seconds | None
    expires_at: Instant | None
    is_admin: Flag
    until_task_ids: tuple[Text, ...] | None
    take_over: Flag
    address: AddressKind | None
    max_concurrency: PositiveCount

    def problems(self) -> list[str]:
        """List the parameters that do not go together."""
        return [
            *_expiry_problems(self.expires_in, self.expires_at),
            *_key_problems(self.ssh_public_key, self.generate_key, self.password_conn_id, "password_conn_id"),
        ]

    def until(self, now: datetime) -> datetime:
        """
        Return when the lease ends.

        :raises ValueError: if that is in the past.
        """
        return expiry_of(self.expires_in, self.expires_at, now)


@dataclass(frozen=True)
class AuditNodeUsersRequest(OperatorRequest):
    """
    An audit of the users on pools.

    :param pool_ids: the pools; ``None`` for all.
    :param revoke: whether overdue users are removed.
    """

    pool_ids: Annotated[tuple[Id, ...] | None, ALL_IF_NONE]
    revoke: Flag


def _expiry_problems(expires_in: float | None, expires_at: datetime | None) -> list[str]:
    return (
        ["Give exactly one of expires_in and expires_at."]
        if (expires_in is None) == (expires_at is None)
        else []
    )


def _key_problems(key: str | None, generated: object, password: str | None, password_name: str) -> list[str]:
    if generated is not None and key is not None:
        return ["generate_key and ssh_public_key are both given; choose one."]
    if generated is None and key is None and password is None:
        return [f"Neither ssh_public_key nor {password_name} is given, so a login is impossible."]
    return []
