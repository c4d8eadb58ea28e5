"""Derive the architecture and the Hyper-V generation of a VM size from its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

# standard_ <family> <vCPUs> [-<constrained vCPUs>] <features> [_<accelerator>...] [_v<version>]
# Source: learn.microsoft.com/azure/virtual-machines/vm-naming-conventions
_NAME = re.compile(
    r"(?P<tier>standard_|basic_)?(?P<family>[a-z]+?)(?P<cpus>\d+)(?:-\d+)?(?P<features>[a-z]*)"
    r"(?:_[a-z0-9]+)*?(?:_v(?P<version>\d+))?"
)
# Series of version 6 and later boot generation 2 images only.
_GENERATION_2_FROM = 6

# Sources: learn.microsoft.com/azure/virtual-machines/generation-2 and the pages of the series.
_ONLY_GENERATION_1 = {"a": 2, "d": 3, "e": 3, "f": 1, "nc": 1, "nv": 1}
"""Families, each with its last version of which sizes without premium storage boot only generation 1."""
_ONLY_GENERATION_2 = {"dc": 1, "ec": 1, "m": 2, "nc": 4, "ncc": 1, "nd": 2}
"""Families, each with its first version that boots only generation 2."""


@dataclass(frozen=True)
class VmSizeName:
    """
    The parts of a VM size's name, in lower case.

    :param family: such as ``d``, ``ds`` or ``nc``.
    :param cpus: the first number, which is that of the cores in newer series.
    :param features: letters such as ``s`` for premium storage and ``p`` for ARM64.
    :param version: 1 if the name has none.
    """

    family: str
    cpus: int
    features: str
    version: int

    @classmethod
    def parse(cls, vm_size: str) -> VmSizeName | None:
        """Return the parts of a name in upper or lower case; ``None`` if it has another form."""
        match = _NAME.fullmatch(vm_size.strip().lower())
        if match is None:
            return None
        return cls(match["family"], int(match["cpus"]), match["features"], int(match["version"] or 1))


@dataclass(frozen=True)
class VmSizeTraits:
    """
    The properties of a VM size that its name contains.

    :param architecture: ``x64`` or ``arm64``; ``None`` if unknown.
    :param generation: the only Hyper-V generation that it supports; ``None`` if it supports both, or unknown.
    """

    architecture: str | None = None
    generation: int | None = None


def traits_of(vm_size: str) -> VmSizeTraits:
    """
    Return the properties of a VM size by its name, such as ``standard_d2ps_v6``.

    A ``p`` among the features means ARM64. ARM64 and version 6 or later sizes support only generation 2.

    :param vm_size: the name, in upper or lower case; nothing is known if it has another form.
    """
    name = VmSizeName.parse(vm_size)
    if name is None:
        return VmSizeTraits()
    is_arm = "p" in name.features
    first = _ONLY_GENERATION_2.get(name.family, _GENERATION_2_FROM)
    if is_arm or name.version >= min(first, _GENERATION_2_FROM):
        return VmSizeTraits("arm64" if is_arm else "x64", 2)
    is_old = "s" not in name.features and name.version <= _ONLY_GENERATION_1.get(name.family, 0)
    return VmSizeTraits("x64", 1 if is_old else None)
