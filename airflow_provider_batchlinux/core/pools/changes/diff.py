"""Compare a pool with the requested one, property by property."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.pools.changes.meaning import Leaf, Places, meaning_of, place_name

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


def drift(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    """
    Compare two pools by their REST bodies, property by property, in the order of the request's properties.

    These are no differences:

    - what the service adds or writes differently: defaults, and letter case and order if they do not matter
    - the provider's marks in the metadata
    - the number of nodes while a formula sets it
    - passwords and keys, which the service does not return
    - additional tags, which a policy of the subscription may have added

    :param wanted: the body that would create the pool.
    :param found: the pool as the service answers it.
    """
    ours, theirs = meaning_of(wanted), meaning_of(found)
    # What only the answer contains and the schema does not is the pool's state, not its specification.
    added = (place for place, leaf in theirs.items() if place not in ours and not leaf.is_unknown)
    is_scaled = bool(wanted.get("enableAutoScale")) and bool(found.get("enableAutoScale"))
    ignored = _TARGETS if is_scaled else ()
    places = [place for place in (*ours, *added) if place[0][0] not in ignored]
    return [
        *(
            _difference(place, ours.get(place), theirs.get(place))
            for place in places
            if _differs(ours.get(place), theirs.get(place))
        ),
        *_managed_differences(wanted, found),
    ]


def not_compared(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of the requested values that the service does not return, such as passwords."""
    theirs = meaning_of(found)
    return [
        place_name(place)
        for place, leaf in meaning_of(wanted).items()
        if not leaf.is_returned and place not in theirs
    ]


def describe_drift(differences: Sequence[Difference]) -> str:
    """Return a list of differences, one a line."""
    return "\n".join(f"  {difference}" for difference in differences)


def _managed_differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    ours, theirs = _identities(wanted), _identities(found)
    if ours != theirs:
        yield Difference("identity.userAssignedIdentities", ours or None, theirs or None)
    # Azure ignores the letter case of a tag's name.
    tags = {str(name).lower(): value for name, value in (found.get("tags") or {}).items()}
    for name, value in (wanted.get("tags") or {}).items():
        if tags.get(str(name).lower()) != str(value):
            yield Difference(f"tags.{name}", str(value), tags.get(str(name).lower()))


def _identities(body: Mapping[str, Any]) -> tuple[str, ...]:
    entries = (body.get("identity") or {}).get("userAssignedIdentities") or ()
    return tuple(sorted(str(entry.get("resourceId")).lower() for entry in entries))


def _differs(ours: Leaf | None, theirs: Leaf | None) -> bool:
    if ours is not None and theirs is None and not ours.is_returned:
        return False
    return ours != theirs


def _difference(place: Places, ours: Leaf | None, theirs: Leaf | None) -> Difference:
    is_secret = any(leaf.is_secret for leaf in (ours, theirs) if leaf is not None)
    return Difference(
        place_name(place), ours.value if ours else None, theirs.value if theirs else None, is_secret=is_secret
    )


def _shown(value: object) -> str:
    if value is None:
        return _ABSENT
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
