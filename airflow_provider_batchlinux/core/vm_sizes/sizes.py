"""The VM sizes of a region, as Azure reports them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from airflow_provider_batchlinux.core.vm_sizes.names import VmSizeTraits, traits_of

_PARTS = re.compile(r"standard_|basic_|[a-z]+|\d+")
_NEAREST = 5


@dataclass(frozen=True)
class VmSize:
    """
    A VM size that Batch offers in a region. Values that Azure does not report are ``None``.

    :param name: such as ``Standard_D2s_v5``.
    :param family: the VM family to whose quota its cores count, such as ``standardDSv5Family``.
    :param cores: the cores of a node.
    :param generations: the supported Hyper-V generations; empty if unknown.
    :param architecture: ``x64`` or ``arm64``.
    :param spot: whether it is available as a Spot node.
    :param ephemeral_disk: whether the operating system can use the local disk.
    :param gpus: the GPUs of a node.
    :param rdma: whether its nodes can communicate over InfiniBand.
    :param end_of_life: from then on Batch creates no nodes of this size.
    :param memory_gb: the memory of a node, in GB.
    :param disk_gb: the local disk of a node, which is lost with its machine, in GB.
    """

    name: str
    family: str | None = None
    cores: int | None = None
    generations: frozenset[int] = frozenset()
    architecture: str | None = None
    spot: bool | None = None
    ephemeral_disk: bool | None = None
    gpus: int | None = None
    rdma: bool | None = None
    end_of_life: datetime | None = None
    memory_gb: float | None = None
    disk_gb: float | None = None

    @classmethod
    def of(
        cls, name: str, family: str | None, capabilities: Mapping[str, str], end_of_life: datetime | None
    ) -> VmSize:
        """
        Return a size from the values that the management plane lists.

        :param capabilities: their values by name, such as ``{"vCPUs": "2", "HyperVGenerations": "V1,V2"}``.
        """
        by_name = {key.lower(): value.strip() for key, value in capabilities.items()}
        architecture = by_name.get("cpuarchitecturetype", "").lower()
        disk_mb = _decimal(by_name.get("maxresourcevolumemb"))
        return cls(
            name=name,
            family=family,
            cores=_number(by_name.get("vcpus")),
            generations=frozenset(
                int(digit) for digit in re.findall("[12]", by_name.get("hypervgenerations", ""))
            ),
            architecture=architecture or traits_of(name).architecture,
            spot=_flag(by_name.get("lowprioritycapable")),
            ephemeral_disk=_flag(by_name.get("ephemeralosdisksupported")),
            gpus=_number(by_name.get("gpus")),
            rdma=_flag(by_name.get("rdmaenabled")),
            end_of_life=end_of_life,
            memory_gb=_decimal(by_name.get("memorygb")),
            disk_gb=None if disk_mb is None else disk_mb / 1024,
        )

    @property
    def traits(self) -> VmSizeTraits:
        """The properties that select an image; those that Azure does not report are read from the name."""
        by_name = traits_of(self.name)
        [only] = self.generations if len(self.generations) == 1 else [None]
        generation = only if self.generations else by_name.generation
        return VmSizeTraits(self.architecture or by_name.architecture, generation)


def find_size(name: str, sizes: Iterable[VmSize]) -> VmSize | None:
    """
    Return a size by its name, ignoring case; ``None`` if the region does not offer it.

    :param name: with or without the prefix ``Standard_``.
    """
    wanted = _plain(name)
    return next((size for size in sizes if _plain(size.name) == wanted), None)


def nearest_sizes(name: str, sizes: Iterable[VmSize]) -> list[str]:
    """List the names of sizes that are most similar to a name: the same family first, then the same cores."""
    wanted = _parts(name)
    ranked = sorted(
        sizes,
        key=lambda size: (
            -SequenceMatcher(None, wanted, _parts(size.name)).ratio(),
            -SequenceMatcher(None, _plain(name), _plain(size.name)).ratio(),
            size.name,
        ),
    )
    return [size.name for size in ranked[:_NEAREST]]


def _plain(name: str) -> str:
    return name.strip().lower().removeprefix("standard_")


def _parts(name: str) -> list[str]:
    return _PARTS.findall(_plain(name))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _decimal(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _flag(text: str | None) -> bool | None:
    return text.lower() == "true" if text else None
