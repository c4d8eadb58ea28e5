"""The networks of pools: which subnets and public addresses are taken, and how many nodes have room there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.azure_ids import PUBLIC_ADDRESS, SUBNET, kind_of
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.rules.caller import Caller, needs_entra
from airflow_provider_batchlinux.emulator.state.records import Json, Pool, Resource
from airflow_provider_batchlinux.emulator.state.store import Store

RESERVED = 5
"""Addresses that Azure reserves in each subnet: the first four and the last."""
_NODES_PER_ADDRESS = 100
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)/", re.IGNORECASE)
_SSH, _HTTPS = 22, 443
_INTERNET = ("*", "internet", "0.0.0.0/0")
_BATCH = "batchnodemanagement"


def check_subnet(pool: Json, subscription_id: str) -> None:
    """
    Refuse a subnet of another subscription than the account's, before anything else is asked of it.

    :param pool: description of a pool, also of one that is to be created for a job.
    """
    subnet = pool.get("networkConfiguration", {}).get("subnetId", "")
    check_subscription(subnet, subscription_id, of="subnetId")


def check_network(network: Json, caller: Caller) -> None:
    """Raise an error for a subnet or public addresses that the caller or Batch cannot use."""
    addresses = network.get("publicIPAddressConfiguration", {})
    ids = addresses.get("ipAddressIds", ())
    if (network.get("subnetId") or ids) and caller.is_signed:
        raise needs_entra(of="Network")
    if "subnetId" in network:
        _check_linked(network["subnetId"], caller, kind=SUBNET, of="subnetId")
    _check_provision(str(addresses.get("provision", "")).lower(), ids, network)
    for address in ids:
        check_subscription(address, caller.place.subscription_id, of="ipAddressIds")
        _check_linked(address, caller, kind=PUBLIC_ADDRESS, of="ipAddressIds")


def _check_provision(provision: str, ids: Any, network: Json) -> None:
    """Raise an error for a way to get public addresses that does not fit the rest. The codes are assumed."""
    if provision == "usermanaged" and not ids:
        raise missing_property(name="ipAddressIds")
    if ids and provision != "usermanaged":
        reason = "The property ipAddressIds is for the provision UserManaged."
        raise refused(provision or "batchmanaged", of="provision", reason=reason)
    if provision == "nopublicipaddresses" and "subnetId" not in network:
        # Documented as a prerequisite.
        reason = "A pool without public IP addresses needs a subnet."
        raise refused(provision, of="provision", reason=reason)


def _check_linked(resource_id: str, caller: Caller, *, kind: str, of: str) -> None:
    if kind_of(resource_id) != kind.lower():
        raise refused(resource_id, of=of, reason=f"The id is not one of {kind}.")
    found: Resource | None = caller.store.resources.get(resource_id)
    if found is None:
        # Recorded of a subnet.
        reason = f"Property {of} with value {resource_id} is not enabled for current account"
        raise ServiceError(Code.FORBIDDEN, {"Reason": reason})
    check_access(found, of=of, action=_ACTIONS[kind])
    check_region({found.location.lower().replace(" ", "")}, resource_id, caller, of=of)


_ACTIONS: Mapping[str, str] = {
    SUBNET: "Microsoft.Network/virtualNetworks/subnets/join/action",
    PUBLIC_ADDRESS: "Microsoft.Network/publicIPAddresses/join/action",
}


def check_access(found: Resource, *, of: str, action: str) -> None:
    """Raise an error for a resource that is denied. The reasons are from published output."""
    denied = found.declared.get("denied_to")
    if denied == "caller":
        raise missing_privilege(found.id, of=of, action=action)
    if denied == "batch":
        reason = "Either the specified VNet does not exist, or the Batch service does not have access to it"
        raise refused(found.id, of=of, reason=reason)


def missing_privilege(resource_id: str, *, of: str, action: str) -> ServiceError:
    """Return the error for a resource that the caller may not use, in the spelling of the service."""
    reason = (
        "The user identity used for this operation does not have the required privelege "
        f"{action} on the specified resource {resource_id}"
    )
    return refused(resource_id, of=of, reason=reason)


def check_region(regions: Collection[str], resource_id: str, caller: Caller, *, of: str) -> None:
    """Raise an error for a resource of other regions than the account's, in the words for subscriptions."""
    if caller.place.location.lower() not in regions:
        reason = (
            f"The specified {of} is in a different region and cannot be used with the current Batch account "
            f"in region {caller.place.location}"
        )
        raise refused(resource_id, of=of, reason=reason)


def check_subscription(resource_id: str, subscription_id: str, *, of: str) -> None:
    """Raise an error for a resource of another subscription than the account's, as recorded of a subnet."""
    found = _SUBSCRIPTION.match(resource_id)
    if found is None or found[1].lower() == subscription_id.lower():
        return
    reason = (
        f"The specified {of} is in a different subscription and cannot be used with the current Batch "
        f"account in subscription {subscription_id}"
    )
    raise refused(resource_id, of=of, reason=reason)


def subnet_of(store: Store, pool: Pool) -> Resource | None:
    """Return the subnet of a pool; ``None`` without one."""
    subnet_id = pool.spec.get("networkConfiguration", {}).get("subnetId")
    return None if subnet_id is None else store.resources.get(subnet_id)


def prefix_of(subnet: Resource) -> IPv4Network:
    """Return the address range of a subnet."""
    properties = subnet.properties
    return IPv4Network(properties.get("addressPrefix") or properties["addressPrefixes"][0])


def usage_of(store: Store, subnet: Resource) -> tuple[int, int]:
    """Return how many addresses a subnet has for machines, and how many are in use."""
    limit = subnet.declared.get("limit")
    size = max(0, prefix_of(subnet).num_addresses - RESERVED)
    nodes = sum(len(store.nodes(pool.id)) for pool in store.pools if subnet_of(store, pool) == subnet)
    used: int = subnet.declared.get("used", 0)
    return size if limit is None else limit, used + nodes


def free_addresses(store: Store, pool: Pool, number: int) -> Iterator[str]:
    """Return addresses for new nodes of a pool in a subnet; none without one."""
    subnet = subnet_of(store, pool)
    if subnet is None:
        return iter(())
    taken = {
        node.private_address
        for other in store.pools
        if subnet_of(store, other) == subnet
        for node in store.nodes(other.id)
    }
    prefix = prefix_of(subnet)
    first, last = int(prefix.network_address) + RESERVED - 1, int(prefix.broadcast_address)
    free = (str(IPv4Address(host)) for host in range(first, last) if str(IPv4Address(host)) not in taken)
    return iter(list(islice(free, number)))


def network_room(store: Store, pool: Pool, *, is_dedicated: bool) -> Iterator[tuple[int, Json]]:
    """
    Yield how many new nodes of a kind the network of a pool has room for, and the error beyond that.

    Documented: Batch allocates the nodes that have room, and reports a resize error. Its code is assumed; the
    error inside is the one of Azure's network service.
    """
    subnet = subnet_of(store, pool)
    if subnet is not None:
        limit, used = usage_of(store, subnet)
        if subnet.properties.get("delegations"):
            # Documented.
            reason = "Allocation failed as subnet has delegation to external resources."
            yield 0, {"Reason": reason}
        sentence = (
            f"Subnet {subnet.id.rpartition('/')[2]} with address prefix {prefix_of(subnet)} does not have "
            "enough capacity for 1 IP addresses."
        )
        yield limit - used, _provider_error("SubnetIsFull", sentence)
    public = pool.spec.get("networkConfiguration", {}).get("publicIPAddressConfiguration", {})
    ids = [address.lower() for address in public.get("ipAddressIds", ())]
    if not ids:
        return
    for other in store.pools:
        network = other.spec.get("networkConfiguration", {}).get("publicIPAddressConfiguration", {})
        shared = [found for found in network.get("ipAddressIds", ()) if found.lower() in ids]
        if other.id != pool.id and shared and len(store.nodes(other.id)):
            sentence = f"Resource {shared[0]} is already allocated to another resource."
            yield 0, _provider_error("PublicIPAddressInUse", sentence)
    size = store.count_nodes(pool.id, is_dedicated=is_dedicated)
    most = _NODES_PER_ADDRESS * len(ids)
    yield most - size, {"Reason": f"The public IP addresses of the pool are enough for {most} nodes."}


def _provider_error(code: str, sentence: str) -> Json:
    answer = f'{{\n  "error": {{\n    "code": "{code}",\n    "message": "{sentence}"\n  }}\n}}'
    return {"Provider Error Json": answer, "Provider Error Json Truncated": "False"}


def reaches_batch(store: Store, pool: Pool) -> bool:
    """Return whether the security group of a pool's subnet lets its nodes reach Batch."""
    rule = _first_rule(store, pool, "outbound", _HTTPS, "destinationAddressPrefix", (*_INTERNET, _BATCH))
    return rule is None or rule.get("access", "").lower() == "allow"


def lets_ssh_in(store: Store, pool: Pool) -> bool:
    """Return whether the security group of a pool's subnet, if it has one, lets SSH in from the Internet."""
    subnet = subnet_of(store, pool)
    if subnet is None or not subnet.properties.get("networkSecurityGroup"):
        return True
    # Without a rule, a security group denies what comes from outside. A rule for some addresses opens it.
    rule = _first_rule(store, pool, "inbound", _SSH, "sourceAddressPrefix", ())
    return rule is not None and rule.get("access", "").lower() == "allow"


def _first_rule(
    store: Store, pool: Pool, direction: str, port: int, side: str, prefixes: tuple[str, ...]
) -> Json | None:
    """
    Return the properties of the rule with the lowest priority number for a port.

    :param side: the property of the rule with the other side, which is one of ``prefixes`` or a service tag
        of a region of them; any without prefixes.
    """
    subnet = subnet_of(store, pool)
    group_id = {} if subnet is None else subnet.properties.get("networkSecurityGroup") or {}
    group: Resource | None = store.resources.get(group_id.get("id", ""))
    rules = [] if group is None else group.properties.get("securityRules", ())
    matching = [
        properties
        for properties in (rule.get("properties", rule) for rule in rules)
        if str(properties.get("direction", "")).lower() == direction
        and str(properties.get("protocol", "*")).lower() in ("*", "tcp")
        and any(_covers(ports, port) for ports in _all(properties, "destinationPortRange"))
        and (not prefixes or any(_is_of(name, prefixes) for name in _all(properties, side)))
    ]
    return min(matching, key=lambda properties: properties.get("priority", 0), default=None)


def _is_of(name: str, prefixes: tuple[str, ...]) -> bool:
    """Return whether a prefix is one of some, or the service tag of one of them in a region."""
    return name.lower() in prefixes or name.lower().partition(".")[0] in prefixes


def _all(properties: Json, name: str) -> list[str]:
    """Return the values of a property that has a form for one and a form for several."""
    plural = f"{name}es" if name.endswith("x") else f"{name}s"
    one = properties.get(name)
    return [*(() if one is None else (one,)), *properties.get(plural, ())]


def _covers(ports: str, port: int) -> bool:
    first, _, last = ports.partition("-")
    return ports == "*" or (first.isdigit() and int(first) <= port <= int(last or first))
