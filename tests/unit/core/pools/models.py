"""The models that the body of a pool consists of."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_batchlinux.core.pools.validation.schema import POOL, properties_of


def pool_models() -> dict[str, Mapping[str, str]]:
    """Return the kinds of all properties, by model, of the body of a pool and of its parts."""
    found: dict[str, Mapping[str, str]] = {}
    waiting = [POOL]
    while waiting:
        model = waiting.pop()
        kinds = properties_of(model)
        if kinds is not None and model not in found:
            found[model] = kinds
            waiting += [kind.strip("[]") for kind in kinds.values()]
    return found
