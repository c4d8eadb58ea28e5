"""Operations on compute nodes, except their users and files."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import node_view
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, done, element, listing
from airflow_provider_batchlinux.emulator.state.records import USABLE_NODE_STATES, Node

_NOT_USABLE = {
    "creating": Code.NODE_BEING_CREATED,
    "starting": Code.NODE_BEING_STARTED,
    "waitingforstarttask": Code.NODE_BEING_STARTED,
    "rebooting": Code.NODE_BEING_REBOOTED,
    "reimaging": Code.NODE_BEING_REIMAGED,
    "unusable": Code.NODE_STATE_UNUSABLE,
}
"""Which code the service answers for a node in the wrong state is not documented; assumed."""

_RESTARTABLE = USABLE_NODE_STATES | {"starttaskfailed", "unknown", "starting"}
"""Documented: idle, running. Clients reboot those whose start task failed, and never unusable ones."""


async def list_nodes(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools/{poolId}/nodes."""
    pool = service.store.pool(call.path_values["poolId"])
    nodes = service.store.nodes(pool.id).after
    return await listing(
        call, "nodes", nodes, lambda node: node_view(service.store, call.base_url, pool, node)
    )


def get_node(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools/{poolId}/nodes/{nodeId}."""
    node = node_of(service, call)
    pool = service.store.pool(node.pool_id)
    return element(call, "nodes", node_view(service.store, call.base_url, pool, node))


def reboot_node(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/reboot."""
    option = call.read("BatchNodeRebootOptions").get("nodeRebootOption", "requeue")
    return _restart(service, call, option, "reboot")


def reimage_node(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/reimage."""
    option = call.read("BatchNodeReimageOptions").get("nodeReimageOption", "requeue")
    return _restart(service, call, option, "reimage")


def deallocate_node(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/deallocate."""
    option = call.read("BatchNodeDeallocateOptions").get("nodeDeallocateOption", "requeue")
    node = usable_node_of(service, call)
    service.node_actions.take(node, option, "deallocate")
    return done(call, 202)


def start_node(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/start."""
    node = node_of(service, call)
    if node.state != "deallocated":
        raise wrong_state(node)
    service.lifecycle.start(node)
    return done(call, 202)


def disable_node_scheduling(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/disablescheduling."""
    body = call.read("BatchNodeDisableSchedulingOptions")
    node = usable_node_of(service, call)
    if not node.is_scheduling:
        raise ServiceError(Code.NODE_ALREADY_IN_TARGET_SCHEDULING_STATE)
    option = body.get("nodeDisableSchedulingOption", "requeue")
    if option == "terminate":
        service.scheduler.terminate_all_on(node)
    elif option == "requeue":
        service.scheduler.requeue_all_on(node)
    if option == "taskcompletion" and node.running_tasks:
        service.store.change_node(node, is_scheduling=False)
    else:
        service.lifecycle.enter(node, "offline", is_scheduling=False)
    return done(call, 200)


def enable_node_scheduling(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/enablescheduling."""
    node = node_of(service, call)
    if node.is_scheduling:
        raise ServiceError(Code.NODE_ALREADY_IN_TARGET_SCHEDULING_STATE)
    if node.state == "offline":
        service.lifecycle.enter(node, "idle", is_scheduling=True)
    else:
        service.store.change_node(node, is_scheduling=True)
        service.scheduler.place(node.pool_id)
    return done(call, 200)


def node_of(service: BatchService, call: Call) -> Node:
    """Return the node in the path of a call."""
    return service.store.node(call.path_values["poolId"], call.path_values["nodeId"])


def usable_node_of(service: BatchService, call: Call) -> Node:
    """
    Return the node in the path of a call.

    :raises ServiceError: the node is neither idle nor running.
    """
    node = node_of(service, call)
    if node.state not in USABLE_NODE_STATES:
        raise wrong_state(node)
    return node


def _restart(service: BatchService, call: Call, option: str, restart: str) -> Reply:
    node = node_of(service, call)
    if node.state not in _RESTARTABLE:
        raise wrong_state(node)
    service.node_actions.take(node, option, restart)
    return done(call, 202)


def wrong_state(node: Node) -> ServiceError:
    """Return the error for an operation that the state of a node does not allow."""
    code = _NOT_USABLE.get(node.state, Code.OPERATION_INVALID_FOR_CURRENT_STATE)
    return ServiceError(code, {"Reason": f"The node is {node.state}."})
