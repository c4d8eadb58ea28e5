"""The VM sizes of the emulated region, a selection of each kind, with their capabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Series:
    """
    Sizes that differ only in their number of cores.

    :param name: name with ``{}`` for the number of cores.
    :param memory: GB for each core.
    """

    name: str
    family: str
    cores: Sequence[int]
    memory: int = 4
    generations: str = "V1,V2"
    more: tuple[tuple[str, str], ...] = ()
    end: str | None = None

    def views(self) -> list[dict[str, Any]]:
        """Return the sizes in the form of the management plane."""
        return [self._view(cores) for cores in self.cores]

    def _view(self, cores: int) -> dict[str, Any]:
        values = {
            "MaxResourceVolumeMB": "0",
            "vCPUs": str(cores),
            "HyperVGenerations": self.generations,
            "MemoryGB": str(cores * self.memory),
            "LowPriorityCapable": "True",
            "PremiumIO": "True",
            "EphemeralOSDiskSupported": "False",
            "CpuArchitectureType": "x64",
            **dict(self.more),
        }
        capabilities = [{"name": name, "value": value} for name, value in values.items()]
        end = {} if self.end is None else {"batchSupportEndOfLife": self.end}
        family = {"familyName": self.family, "capabilities": capabilities}
        return {"name": self.name.format(cores), **family, **end}


_USUAL = (2, 4, 8, 16, 32)
_LOCAL_DISK = (("EphemeralOSDiskSupported", "True"), ("MaxResourceVolumeMB", "76800"))
_GPU = (("GPUs", "1"), *_LOCAL_DISK)
_RDMA = (("RdmaEnabled", "True"), *_LOCAL_DISK)
_NO_SPOT = ("LowPriorityCapable", "False")

# Names, families and generations are those of Azure; memory and disk sizes are approximate.
_SERIES = (
    _Series("Standard_D{}s_v3", "standardDSv3Family", _USUAL, more=_LOCAL_DISK),
    _Series("Standard_D{}s_v5", "standardDSv5Family", _USUAL),
    _Series("Standard_D{}ds_v5", "standardDDSv5Family", _USUAL, more=_LOCAL_DISK),
    _Series("Standard_D{}as_v5", "standardDASv5Family", _USUAL),
    _Series("Standard_E{}s_v5", "standardESv5Family", _USUAL, 8),
    _Series("Standard_F{}s_v2", "standardFSv2Family", _USUAL, 2, more=_LOCAL_DISK),
    _Series("Standard_D{}s_v6", "standardDSv6Family", _USUAL, generations="V2"),
    _Series(
        "Standard_D{}ps_v5",
        "standardDPSv5Family",
        _USUAL,
        generations="V2",
        more=(("CpuArchitectureType", "Arm64"),),
    ),
    _Series("Standard_DC{}as_v5", "standardDCASv5Family", _USUAL, generations="V2"),
    _Series("Standard_NC{}as_T4_v3", "Standard NCASv3_T4 Family", (4, 8, 16), 7, more=_GPU),
    _Series("Standard_HB{}rs_v3", "standardHBrsv3Family", (120,), 3, more=_RDMA),
    _Series("Standard_D{}_v2", "standardDv2Family", (2,), generations="V1", more=_LOCAL_DISK),
    _Series("Standard_A{}_v2", "standardAv2Family", (2, 4), 2, "V1", (_NO_SPOT,), "2026-12-31T00:00:00Z"),
    _Series("Standard_A{}", "standardA0_A7Family", (1, 2), 2, "V1", (_NO_SPOT,), "2024-08-31T00:00:00Z"),
)

SIZES: Sequence[Mapping[str, Any]] = tuple(view for series in _SERIES for view in series.views())
"""All sizes of the region in the form of the management plane. Pools accept other sizes, too."""


@dataclass(frozen=True)
class SizeTraits:
    """What decides which images a VM size boots: its CPU's architecture, and ``V1``, ``V2`` or both."""

    architecture: str
    generations: frozenset[str]


_TRAITS = {
    view["name"].lower(): SizeTraits(
        told["CpuArchitectureType"], frozenset(told["HyperVGenerations"].split(","))
    )
    for view in SIZES
    for told in [{item["name"]: item["value"] for item in view["capabilities"]}]
}


def traits_of(vm_size: str) -> SizeTraits | None:
    """Return what decides which images a VM size boots; ``None`` for a size that the region does not list."""
    return _TRAITS.get(vm_size.lower())


_VM_SIZE = re.compile(r"(?:standard|basic)_[a-z]+(\d+)[a-z\d-]*(?:_[a-z\d]+)*", re.IGNORECASE)


def is_vm_size(name: str) -> bool:
    """Return whether a name has the form of a VM size, such as ``standard_d2s_v5``."""
    return _VM_SIZE.fullmatch(name) is not None


def cores_of(vm_size: str) -> int:
    """
    Return the number of cores of a VM size, which is the first number in its name.

    This is right for all series since v3, but not for older names such as ``standard_ds2_v2``.
    """
    match = _VM_SIZE.fullmatch(vm_size)
    return max(1, int(match[1])) if match else 1
