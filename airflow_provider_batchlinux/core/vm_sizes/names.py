"""Derive the architecture and the Hyper-V generation of a VM size from its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

# standard_ <family> <vCPUs> [-<constrained vCPUs>] <features> [_<accelerator>...] [_v<version>]
# Source: learn.microsoft.com/azure/virtual-machines/vm-naming-conventions
_NAME = re.compile(
    r"(?:standard_|basic_)?(?P<family>[a-z]+?)(?P<cpus>\d+)(?:-\d+)?(?P<features>[a-z]*)"
    r"(?:_(?!v\d)[a-z0-9]+)*(?:_v(?P<version>\d+))?"
)
_GENERATION_2_FROM = 6
_CONFIDENTIAL_FAMILIES = ("dc", "ec")


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

    A ``p`` among the features means ARM64. Confidential, ARM64 and version 6 or later sizes support only
    generation 2. Some older sizes support only one generation, too, but only the management plane reports it.

    :param vm_size: the name, in upper or lower case; nothing is known if it has another form.
    """
    match = _NAME.fullmatch(vm_size.strip().lower())
    if match is None:
        return VmSizeTraits()
    is_arm = "p" in match["features"]
    is_confidential = match["family"] in _CONFIDENTIAL_FAMILIES and int(match["version"] or 0) >= 5
    only_second = is_arm or is_confidential or int(match["version"] or 0) >= _GENERATION_2_FROM
    return VmSizeTraits("arm64" if is_arm else "x64", 2 if only_second else None)
