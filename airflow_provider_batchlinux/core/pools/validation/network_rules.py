"""The limits of a pool's network: NAT pools, rules, addresses; imports only the standard library."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from airflow_provider_batchlinux.core.pools.validation.validate import Path, Problem

__all__ = ["network_problems"]

Body = Mapping[str, Any]

_NETWORK = "networkConfiguration"
_ADDRESSES: Path = (_NETWORK, "publicIPAddressConfiguration")
_NAT_POOLS: Path = (_NETWORK, "endpointConfiguration", "inboundNATPools")
_NAT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_SERVICE_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)*")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_RESERVED_BACKEND = (29876, 29877)
_RESERVED_FRONTEND = (50_000, 55_000)
_LEAST_PORTS = 40
_MOST_RULES = 25
_NODES_PER_ADDRESS = 100


def network_problems(body: Body) -> Iterator[Problem]:
    """List what the service would refuse in the network of a pool."""
    network = body.get(_NETWORK, {})
    yield from _address_problems(body, network.get("publicIPAddressConfiguration", {}))
    pools = network.get("endpointConfiguration", {}).get("inboundNATPools", [])
    for position, pool in enumerate(pools):
        yield from _nat_pool_problems((*_NAT_POOLS, position), pool)
    for (_, one), (second, other) in combinations(enumerate(pools), 2):
        yield from _clashes((*_NAT_POOLS, second), one, other)
    yield from _rule_clashes(pools)


def _address_problems(body: Body, addresses: Body) -> Iterator[Problem]:
    provision, ids = addresses.get("provision"), addresses.get("ipAddressIds", [])
    where, given = (*_ADDRESSES, "provision"), (*_ADDRESSES, "ipAddressIds")
    if provision == "usermanaged" and not ids:
        yield Problem(given, " is empty; {0}='usermanaged' needs at least one address.", (where,))
    if provision != "usermanaged" and ids:
        yield Problem(given, " is only for {0}='usermanaged'.", (where,))
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        if ids and body.get(name, 0) > _NODES_PER_ADDRESS * len(ids):
            says = (
                f"={body[name]} is more than {_NODES_PER_ADDRESS} nodes for each of the {len(ids)} in {{0}}."
            )
            yield Problem((name,), says, (given,))
    if provision == "nopublicipaddresses":
        yield from _closed_problems(body.get(_NETWORK, {}), where)


def _closed_problems(network: Body, where: Path) -> Iterator[Problem]:
    if network.get("endpointConfiguration", {}).get("inboundNATPools"):
        says = " does not go with {0}='nopublicipaddresses': nothing reaches the nodes from outside."
        yield Problem((*_NAT_POOLS, 0), says, (where,))
    if not network.get("subnetId"):
        yield Problem((_NETWORK, "subnetId"), " is missing; {0}='nopublicipaddresses' needs one.", (where,))


def _nat_pool_problems(where: Path, pool: Body) -> Iterator[Problem]:
    first, last = _ports_of(pool)
    if not _NAT_NAME.fullmatch(pool["name"]):
        says = (
            "is not letters, digits, '_', '.' and '-', the first a letter or digit, the last no '.' or '-'."
        )
        yield Problem((*where, "name"), f"={pool['name']!r} {says}")
    if pool["backendPort"] in _RESERVED_BACKEND:
        yield Problem((*where, "backendPort"), f"={pool['backendPort']} is kept by the service.")
    if last - first + 1 < _LEAST_PORTS:
        says = f"={last} leaves fewer than {_LEAST_PORTS} ports from {{0}}={first} on."
        yield Problem((*where, "frontendPortRangeEnd"), says, ((*where, "frontendPortRangeStart"),))
    if first <= _RESERVED_FRONTEND[1] and last >= _RESERVED_FRONTEND[0]:
        says = f"={first} to {{0}}={last} touches 50000 to 55000, which the service keeps."
        yield Problem((*where, "frontendPortRangeStart"), says, ((*where, "frontendPortRangeEnd"),))
    for position, rule in enumerate(pool.get("networkSecurityGroupRules", ())):
        yield from _rule_problems((*where, "networkSecurityGroupRules", position), rule)


def _clashes(where: Path, one: Body, other: Body) -> Iterator[Problem]:
    for name in ("name", "backendPort"):
        if one[name] == other[name]:
            yield Problem((*where, name), f"={other[name]!r} is taken by another endpoint of the pool.")
    (first, last), (start, end) = _ports_of(one), _ports_of(other)
    if first <= end and start <= last:
        says = f"={start} begins a range that overlaps {first} to {last} of endpoint {one['name']!r}."
        yield Problem((*where, "frontendPortRangeStart"), says)


def _rule_problems(where: Path, rule: Body) -> Iterator[Problem]:
    source = rule["sourceAddressPrefix"]
    if not (source == "*" or _is_network(source) or _SERVICE_TAG.fullmatch(source)):
        says = f"={source!r} is no address, network (such as 203.0.113.0/24), service tag or '*'."
        yield Problem((*where, "sourceAddressPrefix"), says)
    ranges = rule.get("sourcePortRanges", [])
    read = [_port_range(text) for text in ranges]
    for position, text in enumerate(ranges):
        if read[position] is None:
            says = f"={text!r} is no port, no range such as 100-200 and not '*'."
            yield Problem((*where, "sourcePortRanges", position), says)
    known = [ports for ports in read if ports is not None]
    if any(one[0] <= other[1] and other[0] <= one[1] for one, other in combinations(known, 2)):
        yield Problem((*where, "sourcePortRanges"), " holds entries that overlap.")


def _rule_clashes(pools: Sequence[Body]) -> Iterator[Problem]:
    rules = [
        ((*_NAT_POOLS, position, "networkSecurityGroupRules", number), rule)
        for position, pool in enumerate(pools)
        for number, rule in enumerate(pool.get("networkSecurityGroupRules", ()))
    ]
    if len(rules) > _MOST_RULES:
        says = f" brings the pool to {len(rules)} rules; the service takes at most {_MOST_RULES}."
        yield Problem(rules[_MOST_RULES][0], says)
    seen: set[int] = set()
    for where, rule in rules:
        if rule["priority"] in seen:
            yield Problem((*where, "priority"), f"={rule['priority']} is taken by another rule of the pool.")
        seen.add(rule["priority"])


def _ports_of(pool: Body) -> tuple[int, int]:
    return pool["frontendPortRangeStart"], pool["frontendPortRangeEnd"]


def _is_network(source: str) -> bool:
    try:
        ipaddress.ip_network(source)
    except ValueError:
        return False
    return True


def _port_range(text: str) -> tuple[int, int] | None:
    if text == "*":
        return 0, 65_535
    match = _PORTS.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if first <= last <= 65_535 else None
