"""The requests of the operators that act on nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from airflow_provider_batchlinux.core.node_states import BROKEN_STATES, READY_STATES
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice, NodeState
from airflow_provider_batchlinux.core.nodes.addresses import AddressKind
from airflow_provider_batchlinux.core.nodes.logs import LogRequest
from airflow_provider_batchlinux.core.parameters.kinds import (
    ALL_IF_NONE,
    Count,
    CountOrShare,
    Flag,
    PositiveCount,
    Seconds,
    ServiceId,
    Text,
)
from airflow_provider_batchlinux.core.parameters.requests import PoolIdRequest, WaitRequest
from airflow_provider_batchlinux.core.pools.changes.resize import RunningTasks
from airflow_provider_batchlinux.core.storage.locations import Location


@dataclass(frozen=True)
class NodeActionRequest(WaitRequest):
    """
    A request to nodes of a pool, such as a start.

    :param node_ids: the nodes; ``None`` for all.
    :param states: only nodes in these states; ``None`` for the default of the action.
    :param allow_empty: whether it is fine if no node is selected.
    :param wait: whether to wait until the nodes are done.
    :param timeout: the seconds to wait at most.
    """

    node_ids: Annotated[tuple[ServiceId, ...] | None, ALL_IF_NONE]
    states: Annotated[tuple[NodeState, ...] | None, ALL_IF_NONE]
    allow_empty: Flag
    wait: Flag
    timeout: Seconds

    def choice(self, by_default: tuple[NodeState, ...]) -> NodeChoice:
        """
        Return which nodes are meant.

        :param by_default: the states that are meant if neither nodes nor states are given.
        """
        states = by_default if self.node_ids is None and self.states is None else self.states
        return NodeChoice(self.node_ids, states)


@dataclass(frozen=True)
class InterruptingActionRequest(NodeActionRequest):
    """
    A request to nodes that interrupts their tasks, such as a reboot.

    :param running_tasks: what to do with their tasks.
    """

    running_tasks: RunningTasks


@dataclass(frozen=True)
class UploadNodeLogsRequest(PoolIdRequest):
    """
    An upload of the logs of node agents.

    :param container: the container of Azure Storage.
    :param node_ids: the nodes; ``None`` for all.
    :param states: only nodes in these states; ``None`` for broken ones, or any if ``node_ids`` are given.
    :param since: the age of the oldest entries in seconds.
    :param allow_empty: whether it is fine if no node is selected.
    :param storage_conn_id: the connection to the storage account.
    :param storage_identity: the identity of the pool that is used instead of a SAS; ``None`` for a SAS.
    """

    container: Location
    node_ids: Annotated[tuple[ServiceId, ...] | None, ALL_IF_NONE]
    states: Annotated[tuple[NodeState, ...] | None, ALL_IF_NONE]
    since: Seconds
    allow_empty: Flag
    storage_conn_id: Text
    storage_identity: ServiceId | None

    @property
    def choice(self) -> NodeChoice:
        """Which nodes are meant."""
        is_open = self.node_ids is None and self.states is None
        return NodeChoice(self.node_ids, BROKEN_STATES if is_open else self.states)

    @property
    def logs(self) -> LogRequest:
        """
        Which logs are meant.

        :raises ValueError: ``container`` is no container.
        """
        return LogRequest.of(self.container, self.storage_conn_id, self.storage_identity, self.since)


@dataclass(frozen=True)
class RunOnNodesRequest(PoolIdRequest):
    """
    A command to run on nodes over SSH.

    :param command: the command.
    :param node_ids: the nodes; ``None`` for those that are ready.
    :param states: only nodes in these states; ``None`` for any.
    :param where: an OData filter on the list of nodes; ``None`` for none.
    :param timeout: the seconds for the login and the command on each node.
    :param max_failed_nodes: how many nodes may fail.
    :param is_admin: whether the user may use ``sudo``.
    :param address: where to log in; ``None`` prefers the public address.
    :param host_keys: which host keys are accepted.
    :param output_limit: how many bytes of output are kept.
    :param max_concurrency: how many nodes run it concurrently at most.
    """

    command: Text
    node_ids: Annotated[tuple[ServiceId, ...] | None, ALL_IF_NONE]
    states: Annotated[tuple[NodeState, ...] | None, ALL_IF_NONE]
    where: Annotated[Text | None, ALL_IF_NONE]
    timeout: Seconds
    max_failed_nodes: CountOrShare
    is_admin: Flag
    address: AddressKind | None
    host_keys: Text
    output_limit: Count
    max_concurrency: PositiveCount

    @property
    def choice(self) -> NodeChoice:
        """Which nodes are meant."""
        ready = READY_STATES if self.node_ids is None else None
        return NodeChoice(self.node_ids, ready if self.states is None else self.states)
