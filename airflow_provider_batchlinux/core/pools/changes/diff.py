"""Compare a pool with the requested one, property by property."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.instants import duration_seconds
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.core.pools.validation.schema import POOL, properties_of

# What the service adds to a pool that does not say it: recorded, or by its specification the default.
_DEFAULTS: Mapping[tuple[str, ...], Any] = {
    ("autoScaleEvaluationInterval",): 900.0,
    ("enableAutoScale",): False,
    ("enableInterNodeCommunication",): False,
    ("networkConfiguration", "dynamicVNetAssignmentScope"): "none",
    ("networkConfiguration", "enableAcceleratedNetworking"): False,
    (
        "networkConfiguration",
        "endpointConfiguration",
        "inboundNATPools",
        "networkSecurityGroupRules",
        "sourcePortRanges",
    ): ("*",),
    ("networkConfiguration", "publicIPAddressConfiguration", "provision"): "batchmanaged",
    ("resizeTimeout",): 900.0,
    ("startTask", "containerSettings", "workingDirectory"): "taskworkingdirectory",
    ("startTask", "maxTaskRetryCount"): 0,
    ("startTask", "userIdentity", "autoUser", "elevationLevel"): "nonadmin",
    ("startTask", "userIdentity", "autoUser", "scope"): "pool",
    ("startTask", "waitForSuccess"): True,
    ("targetDedicatedNodes",): 0,
    ("targetLowPriorityNodes",): 0,
    ("taskSchedulingPolicy", "jobDefaultOrder"): "none",
    ("taskSchedulingPolicy", "nodeFillType"): "spread",
    ("taskSlotsPerNode",): 1,
    ("userAccounts", "elevationLevel"): "nonadmin",
    # Recorded; the specification says readwrite.
    ("virtualMachineConfiguration", "dataDisks", "caching"): "none",
    ("virtualMachineConfiguration", "dataDisks", "managedDisk", "storageAccountType"): "standard_lrs",
    ("virtualMachineConfiguration", "imageReference", "version"): "latest",
    ("virtualMachineConfiguration", "nodePlacementConfiguration", "policy"): "regional",
    ("virtualMachineConfiguration", "osDisk", "caching"): "none",
    ("virtualMachineConfiguration", "osDisk", "managedDisk", "storageAccountType"): "standard_lrs",
}
_CASELESS = frozenset({"vmSize", "publisher", "offer", "sku", "nodeAgentSKUId", "version", "subnetId"})
_KEYS = ("name", "lun", "applicationId")
"""By which an entry of a list is known again, whatever its place."""

_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")
_ABSENT = "nothing"
_SHOWN = 60


@dataclass(frozen=True)
class Difference:
    """
    One property in which a pool differs.

    :param name: its place in the REST body, such as ``startTask.commandLine``.
    :param wanted: what was asked for, made comparable; ``None`` for nothing.
    :param found: what the pool has; ``None`` for nothing.
    :param is_secret: neither value may be shown.
    """

    name: str
    wanted: Any
    found: Any
    is_secret: bool = False

    @property
    def property_name(self) -> str:
        """The property of the pool that it is in."""
        return self.name.split(".")[0].split("[")[0]

    def __str__(self) -> str:
        if self.is_secret:
            return f"{self.name}: another value than wanted (not shown: it may be a secret)"
        return f"{self.name}: wanted {_shown(self.wanted)}, found {_shown(self.found)}"


@dataclass(frozen=True)
class _Leaf:
    value: Any
    is_secret: bool
    is_unknown: bool = False


_Places = tuple[tuple[str, str], ...]
"""Names on the way to a value, each with the key of its entry in a list; empty for no list."""


def drift(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    """
    Compare two pools by their REST bodies, property by property, in the order of the request's properties.

    These are no differences:

    - what the service adds or writes differently: defaults, letter case if it does not matter, the order of
      named entries
    - the provider's marks in the metadata
    - the number of nodes while a formula sets it
    - passwords and keys, which the service does not return
    - additional tags, which a policy of the subscription may have added

    :param wanted: the body that would create the pool.
    :param found: the pool as the service answers it.
    """
    is_scaled = bool(wanted.get("enableAutoScale")) and bool(found.get("enableAutoScale"))
    ours = dict(_leaves(POOL, _comparable(wanted, is_scaled=is_scaled)))
    theirs = dict(_leaves(POOL, _comparable(found, is_scaled=is_scaled)))
    # What only the answer contains and the schema does not is the pool's state, not its specification.
    added = (place for place, leaf in theirs.items() if place not in ours and not leaf.is_unknown)
    places = [*ours, *added]
    return [
        *(
            _difference(place, ours.get(place), theirs.get(place))
            for place in places
            if _differs(ours.get(place), theirs.get(place))
        ),
        *_managed_differences(wanted, found),
    ]


def describe_drift(differences: Sequence[Difference]) -> str:
    """Return a list of differences, one a line."""
    if not differences:
        return "  no property differs: the request has another form."
    return "\n".join(f"  {difference}" for difference in differences)


def _managed_differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    ours, theirs = _identities(wanted), _identities(found)
    if ours != theirs:
        yield Difference("identity.userAssignedIdentities", ours or None, theirs or None)
    tags = found.get("tags") or {}
    for name, value in (wanted.get("tags") or {}).items():
        if tags.get(name) != value:
            yield Difference(f"tags.{name}", value, tags.get(name))


def _identities(body: Mapping[str, Any]) -> tuple[str, ...]:
    entries = (body.get("identity") or {}).get("userAssignedIdentities") or ()
    return tuple(sorted(str(entry.get("resourceId")).lower() for entry in entries))


def _comparable(body: Mapping[str, Any], *, is_scaled: bool) -> dict[str, Any]:
    left_out = {"id", "identity", "tags", *(_TARGETS if is_scaled else ())}
    kept = {name: value for name, value in body.items() if name not in left_out}
    own = METADATA_PREFIX
    kept["metadata"] = [
        item for item in body.get("metadata") or () if not str(item.get("name")).lower().startswith(own)
    ]
    return kept


def _leaves(model: str, value: object, path: _Places = ()) -> Iterator[tuple[_Places, _Leaf]]:
    if not isinstance(value, Mapping):
        return
    kinds = properties_of(model) or {}
    for name in [*kinds, *(name for name in value if name not in kinds)]:
        if value.get(name) is None:
            continue
        if name in kinds:
            yield from _leaves_of(kinds[name], value[name], (*path, (name, "")))
        else:
            # An unknown property may contain anything, also a secret.
            text = json.dumps(value[name], sort_keys=True, default=str)
            yield (*path, (name, "")), _Leaf(text, is_secret=True, is_unknown=True)


def _leaves_of(kind: str, value: Any, path: _Places) -> Iterator[tuple[_Places, _Leaf]]:
    is_list, name = kind.startswith("["), kind.strip("[]")
    is_model = properties_of(name) is not None
    if is_model and is_list:
        for position, entry in enumerate(value):
            yield from _leaves(name, entry, (*path[:-1], (path[-1][0], _key_of(entry, position))))
    elif is_model:
        yield from _leaves(name, value, path)
    else:
        read = _normal(name, path[-1][0], value)
        if read != _DEFAULTS.get(tuple(part for part, _ in path)) and read not in ("", ()):
            yield path, _Leaf(read, is_secret=name.startswith("secret"))


def _key_of(entry: object, position: int) -> str:
    names = entry if isinstance(entry, Mapping) else {}
    key = next((str(names[name]).lower() for name in _KEYS if names.get(name) is not None), None)
    return repr(key) if key is not None else str(position)


def _normal(kind: str, name: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(sorted(str(item) for item in value))
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    text = str(value)
    if kind.startswith("duration"):
        return duration_seconds(text)
    if kind.startswith("int"):
        return int(text)
    if kind == "bool":
        return text.lower() == "true"
    return text.lower() if "|" in kind or name in _CASELESS else text


def _differs(ours: _Leaf | None, theirs: _Leaf | None) -> bool:
    if ours is not None and theirs is None and ours.is_secret:
        return False
    return ours != theirs


def _difference(place: _Places, ours: _Leaf | None, theirs: _Leaf | None) -> Difference:
    name = ".".join(f"{part}[{key}]" if key else part for part, key in place)
    is_secret = any(leaf.is_secret for leaf in (ours, theirs) if leaf is not None)
    return Difference(
        name, ours.value if ours else None, theirs.value if theirs else None, is_secret=is_secret
    )


def _shown(value: object) -> str:
    if value is None:
        return _ABSENT
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
