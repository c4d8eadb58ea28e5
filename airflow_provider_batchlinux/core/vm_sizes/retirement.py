"""The VM sizes that Azure retires, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from airflow_provider_batchlinux.core.vm_sizes.names import VmSizeName

_MAY_2028, _NOVEMBER_2028 = date(2028, 5, 1), date(2028, 11, 15)


@dataclass(frozen=True)
class _Series:
    """
    Sizes that are retired on one day.

    :param families: their families.
    :param versions: their versions.
    :param features: a shell pattern of their features.
    :param cpus: the first number of their names; ``None`` for any.
    """

    retired_on: date
    families: tuple[str, ...]
    versions: tuple[int, ...] = (1,)
    features: str = "*"
    cpus: int | None = None

    def contains(self, name: VmSizeName) -> bool:
        return (
            name.family in self.families
            and name.version in self.versions
            and fnmatchcase(name.features, self.features)
            and self.cpus in (None, name.cpus)
        )


# Source: learn.microsoft.com/azure/virtual-machines/sizes/retirement/retired-sizes-list and the migration
# guides of the series, read in November 2026.
_SERIES = (
    _Series(date(2023, 8, 31), ("nd",)),
    _Series(date(2023, 8, 31), ("nc",), (1, 2)),
    _Series(date(2023, 9, 6), ("nv",)),
    _Series(date(2024, 8, 31), ("a",)),
    _Series(date(2025, 9, 30), ("nc",), (3,), "[!a]*"),
    _Series(date(2026, 6, 30), ("dc",), (2,)),
    _Series(date(2026, 9, 30), ("nv",), (3, 4)),
    _Series(date(2027, 3, 31), ("m",), (2,), "i*", cpus=192),
    _Series(date(2027, 5, 31), ("hb",), (2,)),
    _Series(date(2027, 5, 31), ("hc",)),
    _Series(_MAY_2028, ("d", "ds"), (1, 2)),
    _Series(_MAY_2028, ("l",)),
    _Series(_NOVEMBER_2028, ("a", "f", "l"), (2,)),
    _Series(_NOVEMBER_2028, ("b", "f", "g", "gs")),
    _Series(date(2029, 10, 31), ("dc",), (3,)),
)


def retirement_of(vm_size: str) -> date | None:
    """Return the day on which Azure retires a VM size; ``None`` if none is announced, as far as is known."""
    name = VmSizeName.parse(vm_size)
    if name is None:
        return None
    return next((series.retired_on for series in _SERIES if series.contains(name)), None)


def retirement_warning(vm_size: str, today: date) -> str | None:
    """Return a warning that Azure retires a VM size or has retired it; ``None`` if it does not."""
    day = retirement_of(vm_size)
    if day is None:
        return None
    if day <= today:
        return f"VM size {vm_size!r} was retired by Azure on {day}: it may get no nodes. Use a newer size."
    return f"VM size {vm_size!r} is on Azure's retirement list: it ends on {day}. Use a newer size before."
