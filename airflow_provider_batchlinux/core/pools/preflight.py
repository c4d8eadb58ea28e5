"""Find what would keep a pool from getting its nodes, before it is created."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.instants import WARNED_BEFORE
from airflow_provider_batchlinux.core.pools.validation.rules import generation_for
from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize, find_size, nearest_sizes

Path = tuple[Any, ...]

USAGE_FIELDS = (
    "id",
    "vmSize",
    "currentDedicatedNodes",
    "targetDedicatedNodes",
    "currentLowPriorityNodes",
    "targetLowPriorityNodes",
)
"""The properties to request of the account's pools to know what they use."""

_EPHEMERAL: Path = ("virtualMachineConfiguration", "osDisk", "ephemeralOSDiskSettings")
_SUBNET: Path = ("networkConfiguration", "subnetId")
_SECURITY: Path = ("virtualMachineConfiguration", "securityProfile", "securityType")
_SUBNET_ID = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+)"
    r"/subnets/[^/]+/?",
    re.IGNORECASE,
)
_MORE_QUOTA = "Request fewer nodes, wait until other pools are deleted, or request more quota in the portal."


@dataclass(frozen=True)
class Limits:
    """
    The quotas of a Batch account. ``None`` is unknown, as for nodes in the user's subscription.

    :param dedicated_cores: cores of all dedicated nodes.
    :param spot_cores: cores of all spot nodes.
    :param pools: pools.
    :param family_cores: cores of dedicated nodes by VM family; empty if no family has a separate limit.
    """

    dedicated_cores: int | None = None
    spot_cores: int | None = None
    pools: int | None = None
    family_cores: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Region:
    """Where an account is, what it may use there, and the VM sizes there are."""

    name: str
    limits: Limits
    sizes: Sequence[VmSize]


@dataclass(frozen=True)
class Usage:
    """
    What an account's pools use, as far as their sizes are known.

    :param family_cores: cores of dedicated nodes, by VM family in lower case.
    """

    pool_ids: frozenset[str] = frozenset()
    dedicated_cores: int = 0
    spot_cores: int = 0
    family_cores: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Subnet:
    """
    The addresses of a subnet.

    :param limit: the number of addresses for machines. Azure does not document whether it includes the five
        that it reserves in each subnet; we assume not, so that only a pool that surely lacks some is refused.
    :param used: the number of addresses in use.
    """

    subnet_id: str
    limit: int
    used: int

    @property
    def free(self) -> int:
        """The number of free addresses."""
        return max(self.limit - self.used, 0)


@dataclass(frozen=True)
class Findings:
    """
    What was found.

    :param problems: what does not change by waiting.
    :param shortages: quotas and addresses that are used up now.
    :param warnings: what the user should know.
    """

    problems: tuple[str, ...] = ()
    shortages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def usage_of(pools: Iterable[Mapping[str, Any]], sizes: Sequence[VmSize]) -> Usage:
    """
    Return what pools use; each pool counts with its current or its target nodes, whichever are more.

    :param pools: REST bodies with :data:`USAGE_FIELDS`.
    """
    rows = list(pools)
    families: dict[str, int] = {}
    dedicated = spot = 0
    for row in rows:
        size = find_size(str(row.get("vmSize") or ""), sizes)
        if size is None or size.cores is None:
            continue
        dedicated += (cores := size.cores * _nodes(row, "Dedicated"))
        spot += size.cores * _nodes(row, "LowPriority")
        family = (size.family or "").lower()
        families[family] = families.get(family, 0) + cores
    return Usage(frozenset(str(row["id"]) for row in rows), dedicated, spot, families)


def network_of(subnet_id: str) -> str | None:
    """Return the ARM id of a subnet's virtual network; ``None`` if the id is not that of a subnet."""
    found = _SUBNET_ID.fullmatch(subnet_id)
    return found.group(1) if found else None


def subnet_in(usages: Iterable[Mapping[str, Any]], subnet_id: str) -> Subnet | None:
    """
    Return a subnet from the usages of its virtual network; ``None`` if it is missing, or has no limit.

    :param usages: as ``GET .../virtualNetworks/{name}/usages`` lists them.
    """
    wanted = subnet_id.rstrip("/").lower()
    for usage in usages:
        if str(usage.get("id", "")).rstrip("/").lower() != wanted:
            continue
        limit, used = usage.get("limit"), usage.get("currentValue")
        if isinstance(limit, (int, float)) and isinstance(used, (int, float)) and limit >= 0:
            return Subnet(subnet_id, int(limit), int(used))
    return None


def find_faults(
    body: Mapping[str, Any],
    region: Region,
    usage: Usage,
    *,
    image: SupportedImage | None,
    needed_until: datetime,
    now: datetime,
    name_of: Callable[[Path], str],
    subnet: Subnet | None = None,
) -> Findings:
    """
    Compare a new pool with what the region and the account have.

    :param body: the body that would create the pool.
    :param usage: what the account's other pools use.
    :param image: the image as the service lists it; ``None`` when it is in no list.
    :param needed_until: the last instant at which new nodes may be wanted.
    :param name_of: the user's name of a place in the body.
    :param subnet: the subnet of the nodes; ``None`` without one, or if it is unknown.
    """
    size = find_size(body["vmSize"], region.sizes)
    shortages = list(_subnet_shortage(body, subnet, name_of))
    pools, limit = len(usage.pool_ids), region.limits.pools
    if limit is not None and pools >= limit:
        remedy = "Delete pools that are no longer used, or request more quota in the portal."
        shortages.insert(0, f"The account's quota of pools is used up: {pools} of {limit}. {remedy}")
    if size is None:
        near = ", ".join(nearest_sizes(body["vmSize"], region.sizes))
        wanted = f"{name_of(('vmSize',))}={body['vmSize']!r}"
        missing = f"{wanted} is not a VM size that Batch offers in {region.name!r}; the nearest are {near}."
        return Findings((missing,), tuple(shortages))
    ask = _Ask(body, size, f"{name_of(('vmSize',))}={body['vmSize']!r}", name_of)
    problems = [*ask.end_problems(needed_until), *ask.feature_problems(), *ask.image_problems(image)]
    shortages += ask.shortages(region.limits, usage)
    return Findings(tuple(problems), tuple(shortages), tuple(ask.warnings(image, needed_until, now)))


@dataclass(frozen=True)
class _Ask:
    body: Mapping[str, Any]
    size: VmSize
    label: str
    name_of: Callable[[Path], str]

    def end_problems(self, needed_until: datetime) -> Iterator[str]:
        end = self.size.end_of_life
        if end is not None and end <= needed_until:
            wanted = f"the pool is wanted until {needed_until:%Y-%m-%d}"
            yield f"{self.label} is retired by Batch on {end:%Y-%m-%d}, and {wanted}; choose a newer size."

    def feature_problems(self) -> Iterator[str]:
        spot = self.body.get("targetLowPriorityNodes", 0)
        if spot and self.size.spot is False:
            name = self.name_of(("targetLowPriorityNodes",))
            yield f"{name}={spot}: {self.label} is not available as Spot; use dedicated nodes."
        if _at(self.body, _EPHEMERAL) is not None and self.size.ephemeral_disk is False:
            yield f"{self.name_of(_EPHEMERAL)}: {self.label} has no local disk for an operating system."
        generation = generation_for(self.body)
        if generation is not None and self.size.generations and generation not in self.size.generations:
            wanted = f"{self.name_of(_SECURITY)}={_at(self.body, _SECURITY)!r} needs generation {generation}"
            yield f"{wanted}, and {self.label} runs only generation {min(self.size.generations)}."

    def image_problems(self, image: SupportedImage | None) -> Iterator[str]:
        if image is None:
            return
        if self.size.generations and image.generation not in self.size.generations:
            runs = min(self.size.generations)
            yield f"Image {image.name!r} is of generation {image.generation}; {self.label} runs only {runs}."
        if self.size.architecture and image.architecture != self.size.architecture:
            found = self.size.architecture
            yield f"Image {image.name!r} is for {image.architecture}, and {self.label} is {found}."

    def shortages(self, limits: Limits, usage: Usage) -> Iterator[str]:
        if self.size.cores is None:
            return
        family = (self.size.family or "").lower()
        per_family = {name.lower(): cores for name, cores in limits.family_cores.items()}
        used = usage.family_cores.get(family, 0)
        dedicated, spot = ("targetDedicatedNodes", "targetLowPriorityNodes")
        yield from self._shortage(dedicated, "dedicated cores", limits.dedicated_cores, usage.dedicated_cores)
        yield from self._shortage(
            dedicated, f"dedicated cores of {self.size.family!r}", per_family.get(family), used
        )
        yield from self._shortage(spot, "Spot cores", limits.spot_cores, usage.spot_cores)

    def warnings(self, image: SupportedImage | None, needed_until: datetime, now: datetime) -> Iterator[str]:
        end = self.size.end_of_life
        if end is not None and needed_until < end <= now + WARNED_BEFORE:
            yield f"{self.label} is retired by Batch on {end:%Y-%m-%d}; choose a newer size before."
        # Batch's maintainers name such an image for containers on any size (Azure/Batch, issue 166).
        for_rdma = image is not None and "supportsrdmaonly" in map(str.lower, image.capabilities)
        if image is not None and for_rdma and self.size.rdma is False:
            yield f"Image {image.name!r} is made for sizes with RDMA, which {self.label} does not have."
        if self.size.gpus and image is not None and "gpu" not in image.features:
            yield (
                f"{self.label} has GPUs, and image {image.name!r} has no driver for them;"
                " install it in the start task or by an extension."
            )

    def _shortage(self, target: str, what: str, limit: int | None, used: int) -> Iterator[str]:
        nodes, cores = self.body.get(target, 0), self.size.cores or 0
        left = None if limit is None else limit - used
        if left is not None and nodes * cores > max(left, 0):
            wanted = f"{self.name_of((target,))}={nodes} on {self.label} wants {nodes * cores} {what}"
            yield f"{wanted}; the account has {max(left, 0)} of {limit} left. {_MORE_QUOTA}"


def _subnet_shortage(
    body: Mapping[str, Any], subnet: Subnet | None, name_of: Callable[[Path], str]
) -> Iterator[str]:
    # A formula may request any number of nodes.
    nodes = body.get("targetDedicatedNodes", 0) + body.get("targetLowPriorityNodes", 0)
    if subnet is not None and nodes > subnet.free:
        wanted = f"the pool asks for {nodes} nodes, each of which takes one"
        yield (
            f"{name_of(_SUBNET)}={subnet.subnet_id!r} has {subnet.free} of {subnet.limit} addresses left, and"
            f" {wanted}. Request fewer nodes, or use a larger subnet."
        )


def _nodes(row: Mapping[str, Any], kind: str) -> int:
    return max(int(row.get(f"{when}{kind}Nodes") or 0) for when in ("current", "target"))


def _at(body: Any, path: Path) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body
