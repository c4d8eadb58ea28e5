"""
Read the REST body of a pool by the schema: convert its values, name its problems, mark its secrets.

The schema itself is generated (``rest_schema``); here is what the provider adds to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from airflow_provider_batchlinux.core.instants import duration_seconds
from airflow_provider_batchlinux.core.parameters.spec import Path
from airflow_provider_batchlinux.core.secrets import hide_whole
from airflow_provider_batchlinux.rest_schema import schema

POOL = "BatchPoolCreateOptions"

_VARIABLE = "EnvironmentSetting"
_IMAGE = "BatchVmImageReference"
# The service returns these, so its schema does not mark them; but a URL may contain a SAS token, and an
# environment variable a password.
_MORE_SECRETS: Mapping[str, frozenset[str]] = {
    _VARIABLE: frozenset({"value"}),
    "ResourceFile": frozenset({"httpUrl", "storageContainerUrl"}),
}
# Without it the service creates a cloud service pool, or refuses with a code that does not name it.
_MORE_REQUIRED: Mapping[str, tuple[str, ...]] = {POOL: ("virtualMachineConfiguration",)}
_MAX_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """
    A value in a body that the service will refuse, or may refuse.

    :param path: the place of the value.
    :param text: what is wrong, to be read after the name of the property.
    :param others: the places of further properties, which the text names as ``{0}``, ``{1}``.
    :param is_unknown: the schema does not contain the property or value, but a later version of the service
        may.
    """

    path: Path
    text: str
    others: tuple[Path, ...] = ()
    is_unknown: bool = False

    def message(self, name_of: Callable[[Path], str]) -> str:
        """
        Return the problem as a sentence.

        :param name_of: returns the user's name of a property.
        """
        text = self.text
        for position, other in enumerate(self.others):
            text = text.replace(f"{{{position}}}", name_of(other))
        return f"{name_of(self.path)}{text}"


@cache
def properties_of(model: str) -> Mapping[str, str] | None:
    """
    Return the kinds of a model's properties, by name; ``None`` if it is no model.

    A kind is a scalar, choices joined by ``|``, a model, or one of these in brackets. It begins with
    ``secret`` if no message may show the value.
    """
    body = schema()["bodies"].get(model)
    if body is None:
        return None
    return {**body["properties"], **dict.fromkeys(_MORE_SECRETS.get(model, ()), "secret")}


def is_returned(model: str, name: str) -> bool:
    """Return whether the service returns a property that messages may not show."""
    return name in _MORE_SECRETS.get(model, ())


def rest_name(path: Path) -> str:
    """Return a place as REST writes it, such as ``metadata[0].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the body"


def read_body(body: object) -> tuple[dict[str, Any], list[Problem]]:
    """
    Return the body of a pool with converted values, and its problems.

    Null properties are left out. Numbers and booleans may be text, as templates render them. Unknown
    properties and values are kept as they are.
    """
    problems: list[Problem] = []
    read = _read_object(POOL, body, (), problems)
    return read if isinstance(read, dict) else {}, problems


def hidden_body(value: object, secrets: set[str], model: str = POOL) -> object:
    """
    Return a body in which each secret is replaced.

    :param value: the body, or a part of it; what does not fit the schema is returned unchanged.
    :param secrets: takes the texts of the secrets, except environment variables.
    :param model: the model of the part.
    """
    if isinstance(value, (list, tuple)):
        return [hidden_body(item, secrets, model) for item in value]
    kinds = properties_of(model)
    if kinds is None:
        return value
    if not isinstance(value, Mapping):
        # A name of an image may stand for its reference; other text may hold any part of a body.
        return value if model == _IMAGE else hide_whole(value, secrets)
    hidden_here = set() if model == _VARIABLE else secrets
    return {
        name: hide_whole(item, hidden_here)
        if (kind := kinds.get(name, "secret")).startswith("secret")
        else hidden_body(item, secrets, kind.strip("[]"))
        for name, item in value.items()
    }


def _read_object(model: str, value: object, path: Path, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, " is not a mapping of properties."))
        return None
    kinds = properties_of(model) or {}
    problems += [_unknown_property(path, name, kinds) for name in value if name not in kinds]
    # In the schema's order, so that a retry sends the same body.
    names = [*(name for name in kinds if name in value), *(name for name in value if name not in kinds)]
    body = {}
    for name in names:
        if value[name] is not None:
            item = value[name]
            body[name] = _read(kinds[name], item, (*path, name), problems) if name in kinds else item
    required = (*schema()["bodies"][model]["required"], *_MORE_REQUIRED.get(model, ()))
    problems += [Problem((*path, name), " is missing.") for name in required if name not in body]
    return body


def _unknown_property(path: Path, name: object, known: Mapping[str, str]) -> Problem:
    near = get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return Problem((*path, str(name)), f" is not a known property of the service{hint}", is_unknown=True)


def _read(kind: str, value: object, path: Path, problems: list[Problem]) -> Any:
    if kind.startswith("["):
        if not isinstance(value, Sequence) or isinstance(value, str):
            problems.append(Problem(path, " is not a list."))
            return []
        items = enumerate(value)
        return [_read(kind[1:-1], item, (*path, position), problems) for position, item in items]
    if properties_of(kind) is not None:
        return _read_object(kind, value, path, problems)
    if kind not in _SCALARS:
        return _read_choice(kind, value, path, problems)
    read, expected = _SCALARS[kind]
    try:
        return read(value)
    except (TypeError, ValueError):
        shown = "" if kind.startswith("secret") else f"={_shown(value)}"
        problems.append(Problem(path, f"{shown} is not {expected}."))
        return value


def _read_choice(kind: str, value: object, path: Path, problems: list[Problem]) -> str:
    choices = {choice.lower(): choice for choice in kind.split("|")}
    found = choices.get(str(value).lower())
    if found is None:
        allowed = ", ".join(map(repr, choices.values()))
        is_unknown = isinstance(value, str)
        problems.append(Problem(path, f"={_shown(value)} is none of {allowed}.", is_unknown=is_unknown))
    return found or str(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


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


def _read_duration(value: object) -> str:
    if duration_seconds(_read_text(value)) is None:
        raise ValueError
    return str(value)


def _read_mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


_SCALARS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "int": (_read_int, "a whole number"),
    "bool": (_read_bool, "true or false"),
    "string": (_read_text, "text (quote a number in YAML)"),
    "secret": (_read_text, "text"),
    "duration": (_read_duration, "an ISO 8601 duration such as PT15M"),
    "object": (_read_mapping, "a mapping"),
    "secret object": (_read_mapping, "a mapping"),
}
