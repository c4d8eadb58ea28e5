"""Operations on the users of a node, and its remote login settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.nodes import node_of, usable_node_of, wrong_state
from airflow_provider_batchlinux.emulator.handlers.serializers import outside_port
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, created, done, entity
from airflow_provider_batchlinux.emulator.simulation.lifecycle import NODE_STATES
from airflow_provider_batchlinux.emulator.state.records import NodeUser

# Documented: a user without an expiry gets one day.
_DEFAULT_LIFE = timedelta(days=1)


def create_node_user(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/nodes/{nodeId}/users."""
    node = usable_node_of(service, call)
    body = call.read("BatchNodeUserCreateOptions")
    name = body["name"]
    if not name.isprintable() or not name or "/" in name:
        raise refused(name, of="name")
    if service.store.users(node).get(name) is not None:
        raise ServiceError(Code.NODE_USER_EXISTS)
    service.ssh_servers.add_login(node, _user(call, name, body, is_admin=body.get("isAdmin", False)))
    return created(call.url("pools", node.pool_id, "nodes", node.id, "users", name))


def replace_node_user(service: BatchService, call: Call) -> Reply:
    """
    Answer PUT /pools/{poolId}/nodes/{nodeId}/users/{userName}.

    Missing properties are removed; a missing expiry time becomes one day from now.
    """
    node = usable_node_of(service, call)
    body = call.read("BatchNodeUserReplaceOptions")
    before = service.store.users(node).get(call.path_values["userName"])
    if before is None:
        raise ServiceError(Code.NODE_USER_NOT_FOUND)
    service.ssh_servers.add_login(node, _user(call, before.name, body, is_admin=before.is_admin))
    return done(call, 200)


def delete_node_user(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /pools/{poolId}/nodes/{nodeId}/users/{userName}."""
    node = usable_node_of(service, call)
    user = service.store.users(node).get(call.path_values["userName"])
    if user is None:
        raise ServiceError(Code.NODE_USER_NOT_FOUND)
    service.ssh_servers.remove_login(node, user.name)
    return Reply(200)


def get_node_remote_login_settings(service: BatchService, call: Call) -> Reply:
    """
    Answer GET /pools/{poolId}/nodes/{nodeId}/remoteloginsettings.

    That a node without a machine has none is not documented; assumed.
    """
    node = node_of(service, call)
    if not NODE_STATES[node.state].has_machine:
        raise wrong_state(node)
    # Recorded: of a node that is open for RDP alone, that port, also if it runs Linux.
    pool = service.store.pool(node.pool_id)
    pools = {rule["backendPort"]: rule for rule in pool.nat_pools}
    rule = pools.get(22) or pools.get(3389)
    if rule is None:
        # What the service answers for a pool without a NAT pool for these ports is not documented;
        # assumed.
        reason = "The pool has no inbound NAT pool for backend port 22 or 3389."
        raise ServiceError(Code.OPERATION_NOT_VALID_ON_NODE, {"Reason": reason})
    port = outside_port(rule, node)
    settings: dict[str, Any] = {"remoteLoginIPAddress": "127.0.0.1", "remoteLoginPort": port}
    if pool.is_dual_stack:
        settings |= {"ipv6RemoteLoginIPAddress": "::1", "ipv6RemoteLoginPort": port}
    reply = entity(call, "RemoteLoginSettings", settings)
    return replace(reply, headers={"dataserviceid": call.base_url + call.path})


def _user(call: Call, name: str, body: Mapping[str, Any], *, is_admin: bool) -> NodeUser:
    """
    Return the user that a body describes.

    In the service, users on Linux expire by the day. Here the expiry is exact, so that tests can see it.
    """
    expiry = body.get("expiryTime")
    expires = call.now + _DEFAULT_LIFE if expiry is None else parse_instant(expiry)
    return NodeUser(name, is_admin, expires, body.get("password"), body.get("sshPublicKey"))
