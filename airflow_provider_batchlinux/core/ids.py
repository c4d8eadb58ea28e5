"""Ids and fingerprints that are the same for every retry."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Of ids of pools, jobs and tasks (documented).
MAX_ID_LENGTH = 64
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]+")
_ILLEGAL_RUN = re.compile(r"[^A-Za-z0-9_]+")
# 40 bits. The readable names in front would have to be equal, too.
_DIGEST_LENGTH = 10
_APPLICATION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_APPLICATION_ID = re.compile(
    "/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Batch/batchAccounts/[^/]+"
    f"/applications/{_APPLICATION_NAME.pattern}",
    re.IGNORECASE,
)


def id_problems(name: str, value: object) -> list[str]:
    """
    List what the service refuses in an id.

    :param name: the parameter's name, for the message.
    :param value: the id. The service takes 1 to 64 letters, digits, hyphens and underscores, and
        compares ids without regard to case.
    """
    if not isinstance(value, str) or not value:
        return [f"{name}={value!r} is not an id: 1 to {MAX_ID_LENGTH} characters are needed."]
    problems = []
    if not _LEGAL_ID.fullmatch(value):
        problems.append(f"{name}={value!r} contains characters other than letters, digits, '-' and '_'.")
    if len(value) > MAX_ID_LENGTH:
        problems.append(f"{name}={value!r} has {len(value)} characters; at most {MAX_ID_LENGTH} are allowed.")
    return problems


def derived_id(*parts: object, suffix: str = "", prefix: str = "af") -> str:
    """
    Make a legal id from names that need not be legal, the same one for the same names.

    Readable pieces of the first and the last name stand before a digest of all of them, so two ids
    are equal only when all their parts are, as text.

    :param parts: what the id identifies, such as dag id, run id, task id and map index; at least one.
    :param suffix: legal text kept whole at the end, such as ``-t2``.
    :param prefix: legal text kept whole at the start.
    """
    digest = _digest([str(part) for part in parts])[:_DIGEST_LENGTH]
    room = MAX_ID_LENGTH - len(prefix) - len(suffix) - len(digest) - 2
    ends = parts if len(parts) == 1 else (parts[0], parts[-1])
    words = [_ILLEGAL_RUN.sub("-", str(part)).strip("-") for part in ends]
    readable = "-".join(word[: (room - 1) // 2] for word in words if word)
    return f"{prefix}-{readable}-{digest}{suffix}" if readable else f"{prefix}-{digest}{suffix}"


def id_of_task(owner: Mapping[str, str], *, suffix: str = "", prefix: str = "af") -> str:
    """
    Derive the id of what a task instance makes.

    That of a mapped one shows its map index, so that log lines, errors and the portal tell the items apart.

    :param owner: the names of the task instance, that of the Dag first and that of the task last.
    """
    index = owner.get("map_index", "-1")
    item = "" if index == "-1" else f"-{index}"
    return derived_id(*owner.values(), suffix=item + suffix, prefix=prefix)


def fingerprint(request: Mapping[str, Any]) -> str:
    """
    Digest a request so that the same request is recognised later.

    :param request: JSON-able values; the order of keys does not matter.
    """
    return _digest(request)[:32]


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def package_problems(references: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """
    Yield what is wrong with references to application packages, and where.

    The service says only that an application does not exist.

    :param references: as in the body of a pool or task.
    """
    seen: set[tuple[str, str]] = set()
    for at, reference in enumerate(references):
        name, version = str(reference.get("applicationId") or ""), str(reference.get("version") or "")
        if "#" in name:
            plain, _, named = name.partition("#")
            yield at, f"={name!r} contains a version; give {plain!r} and version={named!r}."
        elif name.startswith("/") and not _APPLICATION_ID.fullmatch(name):
            yield at, f"={name!r} is not the id of an application of a Batch account."
        elif not name.startswith("/") and not _APPLICATION_NAME.fullmatch(name):
            yield at, f"={name!r} is neither the id nor the name of an application."
        if (name.lower(), version.lower()) in seen:
            yield at, f"={name!r} is given twice."
        seen.add((name.lower(), version.lower()))
