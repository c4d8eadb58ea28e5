"""What the name of a VM size tells about its machines."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["VmSizeTraits", "traits_of"]

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
    What is known of a VM size.

    :param architecture: ``x64`` or ``arm64``; ``None`` when not known.
    :param generation: the only Hyper-V generation it runs; ``None`` when it runs both, or not known.
    """

    architecture: str | None = None
    generation: int | None = None


def traits_of(vm_size: str) -> VmSizeTraits:
    """
    Read a VM size's name, such as ``standard_d2ps_v6``.

    The name tells the architecture (a ``p`` among the features is ARM64), and for confidential, ARM64 and
    version 6 or later sizes that they run images of the second generation only. Which older sizes run
    only one generation no name tells; the management plane does.

    :param vm_size: the name, in whatever letter case; one of another form tells nothing.
    """
    match = _NAME.fullmatch(vm_size.strip().lower())
    if match is None:
        return VmSizeTraits()
    is_arm = "p" in match["features"]
    is_confidential = match["family"] in _CONFIDENTIAL_FAMILIES and int(match["version"] or 0) >= 5
    only_second = is_arm or is_confidential or int(match["version"] or 0) >= _GENERATION_2_FROM
    return VmSizeTraits("arm64" if is_arm else "x64", 2 if only_second else None)
