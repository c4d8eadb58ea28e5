"""The table of the how-to: each parameter of a pool, the property it sets, and the object it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec

PLAIN = {
    "image": "virtualMachineConfiguration.imageReference, .nodeAgentSKUId",
    "ssh_from": "networkConfiguration.endpointConfiguration.inboundNATPools[]",
    "metadata": "metadata[]",
    "resize_timeout": "resizeTimeout",
}


def rows(cls: type[Spec] = PoolSpec, parameter: str = "", place: str = "") -> Iterator[tuple[str, str, str]]:
    """Give parameter, REST property and class, in the order of the fields."""
    for spec_field in fields(cls):
        name = spec_field.name
        if cls is PoolSpec and name in PLAIN:
            yield name, PLAIN[name], ""
        if name not in cls.REST:
            continue
        many = "[]" if name in cls.PARTS and str(spec_field.type).startswith("Sequence") else ""
        here = ".".join(part for part in (place, cls.REST[name]) if part) + many
        for part in cls.PARTS.get(name, ()):
            yield from rows(part, f"{parameter}{name}{many}.", here)
        if name not in cls.PARTS:
            yield f"{parameter}{name}", here, "" if cls is PoolSpec else cls.__name__


def table() -> str:
    """Write the table as the page has it."""
    lines = [f"| `{name}` | `{place}` | {f'`{cls}`' if cls else ''} |" for name, place, cls in rows()]
    return "\n".join(["| parameter | REST property | object |", "|---|---|---|", *lines])


if __name__ == "__main__":
    print(table())
