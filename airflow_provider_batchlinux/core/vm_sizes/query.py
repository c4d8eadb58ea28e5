"""Find the VM sizes that meet the requirements of a pool, best first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize

_ARCHITECTURES = ("x64", "arm64")
_VERSION = re.compile(r"_v(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class VmSizeQuery:
    """
    The VM sizes that a pool may use: one or several by name, or all that meet requirements.

    :param names: the names in order of preference; empty for any size that meets the requirements.
    :param cores: the minimum number of cores of a node.
    :param memory_gb: the minimum memory of a node, in GB.
    :param disk_gb: the minimum size of the local disk of a node, in GB; it is lost with the machine.
    :param gpus: the minimum number of GPUs of a node; 0 selects sizes without any.
    :param architecture: ``x64`` or ``arm64``.
    :param like: a pattern of the name, such as ``standard_d*s_v5``; case is ignored.
    """

    names: tuple[str, ...] = ()
    cores: int = 1
    memory_gb: float = 0
    disk_gb: float = 0
    gpus: int = 0
    architecture: str = "x64"
    like: str = "*"

    @classmethod
    def parse(cls, value: Any) -> VmSizeQuery:
        """
        Parse what a user wrote: a name, a list of names, or a mapping with the fields of this class.

        :raises ValueError: if it is none of these; all problems, one a line.
        """
        if isinstance(value, Mapping):
            if problems := list(_problems(value)):
                raise ValueError("\n".join(problems))
            numbers: dict[str, Any] = {"cores": int, "memory_gb": float, "disk_gb": float, "gpus": int}
            return cls(**{name: numbers.get(name, str)(need) for name, need in value.items()})
        names = [value] if isinstance(value, str) else value
        is_list = isinstance(names, Sequence) and bool(names)
        if not is_list or not all(isinstance(name, str) and name.strip() for name in names):
            msg = f"vm_size={value!r} is no name of a VM size, list of names, or mapping of needs."
            raise ValueError(msg)
        return cls(tuple(name.strip() for name in names))

    @property
    def meaning(self) -> str:
        """The query in one spelling: equal for two ways to write the same one."""
        return str(self).lower()

    @property
    def needs_region(self) -> bool:
        """Whether the VM sizes of the region are needed to select one."""
        return not self.names

    def candidates(self, sizes: Iterable[VmSize]) -> list[str]:
        """
        Return the names of the matching sizes: in the user's order, or the smallest and newest first.

        Prices are unknown here; sizes with the same cores and memory differ little in price.

        :param sizes: the VM sizes of the region.
        """
        if self.names:
            return list(self.names)
        return [size.name for size in sorted(filter(self.suits, sizes), key=_rank)]

    def suits(self, size: VmSize) -> bool:
        """Return whether a size has what is required; what Azure does not report, it does not have."""
        return (
            (size.cores or 0) >= self.cores
            and (size.memory_gb or 0) >= self.memory_gb
            and (size.disk_gb or 0) >= self.disk_gb
            and ((size.gpus or 0) >= self.gpus if self.gpus else not size.gpus)
            and (size.architecture or "x64") == self.architecture
            and fnmatchcase(size.name.lower(), self.like.lower())
        )

    def __str__(self) -> str:
        if self.names:
            return ", ".join(self.names)
        given = (field for field in fields(self) if getattr(self, field.name) != field.default)
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in given) or "any size"


def _problems(needs: Mapping[str, Any]) -> Iterator[str]:
    known = [field.name for field in fields(VmSizeQuery) if field.name != "names"]
    for name, value in needs.items():
        if name not in known:
            yield f"vm_size.{name} is not one of {', '.join(known)}."
        elif name in ("cores", "gpus") and not re.fullmatch(r"\d{1,4}", str(value)):
            yield f"vm_size.{name}={value!r} is not a whole number from 0 up."
        elif name in ("memory_gb", "disk_gb") and not re.fullmatch(r"\d{1,6}(\.\d+)?", str(value)):
            yield f"vm_size.{name}={value!r} is not a number from 0 up."
        elif name == "architecture" and value not in _ARCHITECTURES:
            yield f"vm_size.{name}={value!r} is not one of {', '.join(_ARCHITECTURES)}."
        elif name == "like" and (not isinstance(value, str) or not value.strip()):
            yield f"vm_size.{name}={value!r} is no pattern of a name."


def _rank(size: VmSize) -> tuple[Any, ...]:
    version = _VERSION.search(size.name)
    return (size.gpus or 0, size.cores, size.memory_gb or 0, -int(version[1]) if version else 0, size.name)
