"""The network configuration that opens or closes SSH on a pool's nodes, and who it lets in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant

SSH_PORT = 22
MAX_SOURCES = 24
"""A pool takes 25 rules in all; one of them refuses all other networks."""

_FIRST_FRONTEND_PORT = 40_000
# The service keeps 50000 to 55000 for itself (documented).
_RESERVED_FROM = 50_000
# The service refuses a shorter range, also for a pool of one node (documented).
_MIN_PORTS = 40
_FIRST_PRIORITY = 150
_LAST_PRIORITY = 3_500
"""Of the rule that refuses everybody else. The service takes 150 to 4096, Batch Explorer at most 3500."""


_WORLD = frozenset({"*", "any", "internet"})
"""The words for all addresses: the wildcard, and the service tag, in which the virtual network is not."""

# Pools created earlier got an SSH mapping without asking for one.
_CLOSED_BY_DEFAULT_SINCE = datetime(2025, 11, 30, tzinfo=timezone.utc)


def source_problems(sources: Sequence[str]) -> list[str]:
    """
    List what is wrong with the networks that get access to port 22.

    :param sources: IP networks or addresses, such as ``203.0.113.0/24``.
    """
    if isinstance(sources, str):
        return [f"ssh_from={sources!r} is a text; give a list of networks, such as [{sources!r}]."]
    problems = [
        f"ssh_from holds {source!r}, which is no IP network (such as 203.0.113.0/24)."
        for source in sources
        if not _is_network(source)
    ]
    if len(sources) > MAX_SOURCES:
        problems.append(f"ssh_from holds {len(sources)} networks; the service takes at most {MAX_SOURCES}.")
    return problems


def nat_pool(sources: Sequence[str], node_count: int) -> dict[str, Any]:
    """
    Build the inbound NAT pool that maps SSH for the given networks and refuses all others.

    Limits of the service: at least 40 frontend ports, none in 50000-55000, rule priorities that differ,
    from 150 to 4096, of which this takes 150 to 3500. The range holds a port for each node the pool asks for,
    up to 10,000.

    :param sources: networks that passed :func:`source_problems`.
    :param node_count: the nodes the pool may have at most.
    """
    last = min(_FIRST_FRONTEND_PORT + max(_MIN_PORTS, node_count), _RESERVED_FROM) - 1
    allowed = [
        _rule(_FIRST_PRIORITY + 10 * position, "allow", source) for position, source in enumerate(sources)
    ]
    return {
        "name": "ssh",
        "protocol": "tcp",
        "backendPort": SSH_PORT,
        "frontendPortRangeStart": _FIRST_FRONTEND_PORT,
        "frontendPortRangeEnd": last,
        "networkSecurityGroupRules": [*allowed, _rule(_LAST_PRIORITY, "deny", "*")],
    }


def ssh_endpoints(pool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the inbound NAT pools that lead to SSH, given a pool's REST body."""
    network = pool.get("networkConfiguration") or {}
    nat_pools = (network.get("endpointConfiguration") or {}).get("inboundNATPools") or ()
    return [
        nat_pool
        for nat_pool in nat_pools
        if nat_pool.get("backendPort") == SSH_PORT and str(nat_pool.get("protocol")).lower() != "udp"
    ]


def is_closed(nat_pool: Mapping[str, Any]) -> bool:
    """Return whether the rules of an inbound NAT pool let no network in."""
    rules = _in_order(nat_pool)
    decisive = (_allows(rule) for rule in rules if _allows(rule) or _is_world(rule))
    return bool(rules) and not next(decisive, False)


def open_to_world(pool: Mapping[str, Any]) -> str | None:
    """
    Return why SSH on a pool's nodes is open to the whole Internet, as a sentence; ``None`` if it is not.

    The first rule that matches decides. A network that an earlier rule denies does not count: all others are
    still let in.

    :param pool: the pool's REST body. Without ``creationTime`` it counts as new.
    """
    endpoints = ssh_endpoints(pool)
    for nat_pool in endpoints:
        if (found := _world_rule(nat_pool)) is not None:
            return f"SSH is open to the whole Internet: endpoint {nat_pool.get('name')!r} {found}."
    created = parse_instant(pool.get("creationTime"))
    network = pool.get("networkConfiguration") or {}
    provision = (network.get("publicIPAddressConfiguration") or {}).get("provision")
    is_private = str(provision).lower() == "nopublicipaddresses"
    if created is not None and created < _CLOSED_BY_DEFAULT_SINCE and not endpoints and not is_private:
        return (
            f"SSH may be open to the whole Internet: the pool was created at {created:%Y-%m-%d}, when the "
            "service opened SSH by default."
        )
    return None


def _world_rule(nat_pool: Mapping[str, Any]) -> str | None:
    rules, allowed = _in_order(nat_pool), []
    if not rules:
        return "has no rules, so the service lets all networks in"
    for rule in rules:
        if not _allows(rule):
            if _is_world(rule):
                return None
            continue
        if _is_world(rule):
            return f"allows {rule.get('sourceAddressPrefix')!r}"
        allowed.append(str(rule.get("sourceAddressPrefix")))
        if _covers_world(allowed):
            return f"allows {', '.join(map(repr, allowed))}, which are all addresses together"
    return None


def _in_order(nat_pool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rules: Sequence[Mapping[str, Any]] = nat_pool.get("networkSecurityGroupRules") or ()
    return sorted(rules, key=lambda rule: int(rule.get("priority") or 0))


def _allows(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("access")).lower() == "allow"


def _is_world(rule: Mapping[str, Any]) -> bool:
    source = str(rule.get("sourceAddressPrefix")).strip().lower()
    return source in _WORLD or _covers_world([source])


def _covers_world(sources: Iterable[str]) -> bool:
    networks = [
        ipaddress.ip_network(source, strict=False) for source in sources if _is_network(source, strict=False)
    ]
    v4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    v6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    lengths = [network.prefixlen for network in ipaddress.collapse_addresses(v4)]
    lengths += [network.prefixlen for network in ipaddress.collapse_addresses(v6)]
    return 0 in lengths


def _rule(priority: int, access: str, source: str) -> dict[str, Any]:
    return {
        "priority": priority,
        "access": access,
        "sourceAddressPrefix": source,
        "sourcePortRanges": ["*"],
    }


def _is_network(source: object, *, strict: bool = True) -> bool:
    try:
        ipaddress.ip_network(str(source), strict=strict)
    except ValueError:
        return False
    return isinstance(source, str)
