"""The account's quotas and the cores a VM size counts for; knows no pools."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Quotas", "cores_of", "is_vm_size"]

_VM_SIZE = re.compile(r"(?:standard|basic)_[a-z]+(\d+)[a-z\d-]*(?:_[a-z\d]+)*", re.IGNORECASE)


@dataclass
class Quotas:
    """
    What the account may use; ``None`` means no limit.

    :param nodes_per_pool: how many nodes a pool with inter-node communication may have.
    """

    dedicated_cores: int | None = None
    spot_cores: int | None = None
    pools: int | None = None
    active_jobs: int | None = None
    nodes_per_pool: int | None = None


def is_vm_size(name: str) -> bool:
    """Tell whether a name has the form of a VM size, such as ``standard_d2s_v5``."""
    return _VM_SIZE.fullmatch(name) is not None


def cores_of(vm_size: str) -> int:
    """
    Return how many cores a VM size has, by the first number in its name.

    Right for all series since v3; older names, such as ``standard_ds2_v2``, count otherwise.
    """
    match = _VM_SIZE.fullmatch(vm_size)
    return max(1, int(match[1])) if match else 1
