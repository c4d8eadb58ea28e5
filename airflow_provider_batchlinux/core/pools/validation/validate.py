"""Checks a REST body against the shapes, before the call; imports only the standard library."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from airflow_provider_batchlinux.core.pools.validation.schema import SHAPES

__all__ = ["Path", "Problem", "read_shape", "rest_name", "seconds_in"]

Path = tuple[str | int, ...]
"""Where something stands in a body: names of properties and positions in lists."""

_DURATION = re.compile(
    r"P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_UNITS = (86_400, 3_600, 60, 1)
_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """
    Something that the service would refuse.

    :param path: where it stands.
    :param says: what is wrong, to be read after the name of the property.
    :param others: where further properties stand that the text names as ``{0}``, ``{1}``.
    """

    path: Path
    says: str
    others: tuple[Path, ...] = ()

    def text(self, name: Callable[[Path], str]) -> str:
        """
        Write the problem as a sentence.

        :param name: gives the name by which the user knows a property.
        """
        says = self.says
        for position, other in enumerate(self.others):
            says = says.replace(f"{{{position}}}", name(other))
        return f"{name(self.path)}{says}"


@dataclass(frozen=True)
class _Kind:
    name: str
    is_list: bool
    least: float
    most: float


def rest_name(path: Path) -> str:
    """Write a path as it is written in REST, such as ``metadata[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "the body"


def read_shape(shape: str, value: object) -> tuple[dict[str, Any], list[Problem]]:
    """
    Read a body: what it is with its values converted, and all that is wrong with it.

    Properties that are null are left out. Numbers and truth values may come as text, as templates make them.

    :param shape: the name of the shape it is to have.
    :param value: the body.
    """
    problems: list[Problem] = []
    body = _read_shape(shape, value, (), problems)
    return body if isinstance(body, dict) else {}, problems


def seconds_in(duration: str) -> float | None:
    """Read an ISO 8601 duration of days, hours, minutes and seconds; ``None`` when it is none."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        return None
    return math.fsum(float(count) * unit for count, unit in zip(match.groups(), _UNITS, strict=True) if count)


def _read_shape(shape: str, value: object, path: Path, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, " is not a mapping of properties."))
        return None
    known = {name.removesuffix("!"): kind for name, kind in SHAPES[shape].items()}
    problems += [_unknown(path, name, known) for name in value if name not in known]
    required = [name.removesuffix("!") for name in SHAPES[shape] if name.endswith("!")]
    body = {}
    for name, kind in known.items():
        if value.get(name) is not None:
            body[name] = _read(_kind(kind), value[name], (*path, name), problems)
        elif name in required:
            problems.append(Problem((*path, name), " is missing."))
    return body


def _unknown(path: Path, name: object, known: Mapping[str, str]) -> Problem:
    near = get_close_matches(str(name), known, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
    return Problem((*path, str(name)), f" is not a property of the service; {remedy}")


@cache
def _kind(text: str) -> _Kind:
    name, least, most = text, -math.inf, math.inf
    if bounds := re.fullmatch(r"(.+) (-?\d+)\.\.(\d*)", text):
        name, least, most = bounds[1], float(bounds[2]), float(bounds[3] or math.inf)
    is_list = name.startswith("[")
    return _Kind(name.strip("[]"), is_list, least, most)


def _read(kind: _Kind, value: object, path: Path, problems: list[Problem]) -> Any:
    if kind.is_list:
        return _read_list(kind, value, path, problems)
    if kind.name in SHAPES:
        return _read_shape(kind.name, value, path, problems)
    if "|" in kind.name or kind.name not in _SCALARS:
        return _read_choice(kind.name, value, path, problems)
    return _read_scalar(kind, value, path, problems)


def _read_list(kind: _Kind, value: object, path: Path, problems: list[Problem]) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.append(Problem(path, " is not a list."))
        return []
    if len(value) > kind.most:
        problems.append(Problem(path, f" has {len(value)} entries; at most {kind.most:g} are allowed."))
    item = _Kind(kind.name, is_list=False, least=-math.inf, most=math.inf)
    return [_read(item, entry, (*path, position), problems) for position, entry in enumerate(value)]


def _read_choice(kind: str, value: object, path: Path, problems: list[Problem]) -> str:
    choices = {choice.lower(): choice for choice in kind.split("|")}
    found = choices.get(str(value).lower())
    if found is None:
        known = ", ".join(map(repr, choices.values()))
        problems.append(Problem(path, f"={_shown(value)} is none of {known}."))
    return found or str(value)


def _read_scalar(kind: _Kind, value: object, path: Path, problems: list[Problem]) -> Any:
    read, what, measure = _SCALARS[kind.name]
    is_secret = kind.name.startswith("secret")
    shown = "" if is_secret else f"={_shown(value)}"
    try:
        found = read(value)
        size, unit = measure(found)
    except (TypeError, ValueError):
        problems.append(Problem(path, f"{shown} is not {what}."))
        return value
    if size < kind.least:
        says = (
            " is empty."
            if size == 0 and unit == " characters"
            else f"{shown} is less than {kind.least:g}{unit}."
        )
        problems.append(Problem(path, says))
    if size > kind.most:
        problems.append(Problem(path, f"{shown} is more than {kind.most:g}{unit}."))
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _read_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError
    return int(value)


def _read_bool(value: object) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


def _duration_size(value: str) -> tuple[float, str]:
    seconds = seconds_in(value)
    if seconds is None:
        raise ValueError
    return seconds, " s"


def _no_size(_: object) -> tuple[float, str]:
    return 0, ""


def _length(value: str) -> tuple[float, str]:
    return len(value), " characters"


_Scalar = tuple[Callable[[Any], Any], str, Callable[[Any], tuple[float, str]]]
_SCALARS: Mapping[str, _Scalar] = {
    "int": (_read_int, "a whole number", lambda value: (value, "")),
    "bool": (_read_bool, "true or false", _no_size),
    "string": (_read_text, "a text (a number in YAML is put in quotes)", _length),
    "secret": (_read_text, "a text", _length),
    "duration": (_read_text, "an ISO 8601 duration such as PT15M", _duration_size),
    "object": (_read_object, "a mapping", _no_size),
    "secret object": (_read_object, "a mapping", _no_size),
}
