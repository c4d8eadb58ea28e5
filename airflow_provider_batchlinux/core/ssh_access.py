"""The network configuration that opens SSH on a pool's nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

SSH_PORT = 22
MAX_SOURCES = 24
"""A pool takes 25 rules in all; one of them refuses all other networks."""

_FIRST_FRONTEND_PORT = 40_000
_RESERVED_FROM = 50_000
_MIN_PORTS = 40
_FIRST_PRIORITY = 150
_LAST_PRIORITY = 3_500
"""Of the rule that refuses everybody else. The service takes 150 to 4096, Batch Explorer at most 3500."""


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


def _rule(priority: int, access: str, source: str) -> dict[str, Any]:
    return {
        "priority": priority,
        "access": access,
        "sourceAddressPrefix": source,
        "sourcePortRanges": ["*"],
    }


def _is_network(source: object) -> bool:
    try:
        ipaddress.ip_network(str(source))
    except ValueError:
        return False
    return isinstance(source, str)
