"""
Check the rules between properties of a pool that the service reports late or badly.

A rule that the service enforces immediately and in clear words is left to it. Here is what would otherwise
show as a resize error after minutes, as a start task that fails on every node, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.core.commands import variable_flaw
from airflow_provider_batchlinux.core.ids import package_problems
from airflow_provider_batchlinux.core.parameters.spec import Path
from airflow_provider_batchlinux.core.pools.validation.schema import Problem

Body = Mapping[str, Any]

_MACHINE = "virtualMachineConfiguration"
_SPOT = "targetLowPriorityNodes"
_SECURITY: Path = (_MACHINE, "securityProfile", "securityType")
# Documented: one public IP address for each 100 nodes of a pool with its own addresses.
_NODES_PER_ADDRESS = 100

_TARGETS = ("$TargetDedicatedNodes", "$TargetLowPriorityNodes", "$TargetDedicated", "$TargetLowPriority")
_TARGET_SET = re.compile(
    r"(\$TargetDedicatedNodes|\$TargetLowPriorityNodes|\$TargetDedicated|\$TargetLowPriority)\s*=(?!=)"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
# Limits of a formula (documented).
_MOST_CHARACTERS = 8192
_MOST_STATEMENTS = 100
_CLOSING = {"(": ")", "{": "}"}


def rule_problems(body: Body, *, image: object = None) -> list[Problem]:
    """
    List the combinations in a body that give a pool without working nodes.

    :param body: a body that :func:`~airflow_provider_batchlinux.core.pools.validation.schema.read_body` read
        without problems.
    :param image: the image as the user wrote it; ``None`` if the body contains it.
    """
    return [
        *_start_task_problems(body),
        *_machine_problems(body, image),
        *_mount_problems(body),
        *_package_problems(body),
        *_size_problems(body),
    ]


def generation_for(body: Body) -> int | None:
    """Return the Hyper-V generation that the image must have; ``None`` for any."""
    return 2 if _at(body, _SECURITY) else None


def entra_only(body: Body) -> list[Path]:
    """List the properties that the service accepts only from callers with an Entra token."""
    places: list[Path] = [
        ("networkConfiguration", "subnetId"),
        ("networkConfiguration", "publicIPAddressConfiguration", "ipAddressIds"),
        (_MACHINE, "imageReference", "virtualMachineImageId"),
    ]
    return [place for place in places if _at(body, place)]


def formula_problems(formula: str) -> list[str]:
    """
    List the mistakes in the syntax of an autoscale formula that can be found without the service.

    .. code-block:: python

        formula_problems("$TargetDedicatedNodes = (1;")

    The service evaluates a formula only on a pool that exists; it checks the rest when the pool is created.

    :param formula: the text of the formula.
    """
    plain = _TEXT.sub("''", _COMMENT.sub(" ", formula))
    found = []
    if len(formula) > _MOST_CHARACTERS:
        found.append(f"has {len(formula)} characters; at most {_MOST_CHARACTERS} are allowed.")
    statements = [text for text in plain.split(";") if text.strip()]
    if len(statements) > _MOST_STATEMENTS:
        found.append(f"has {len(statements)} statements; at most {_MOST_STATEMENTS} are allowed.")
    if not _TARGET_SET.search(plain):
        found.append(
            f"sets neither {_TARGETS[0]} nor {_TARGETS[1]}, so the size of the pool would never change."
        )
    if unmatched := _unmatched(plain):
        found.append(f"has an unmatched {unmatched!r}.")
    if not {"'", '"'}.isdisjoint(plain.replace("''", "")):
        found.append("has an unterminated string.")
    return found


def _at(body: Any, path: Path) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _start_task_problems(body: Body) -> Iterator[Problem]:
    """List what would let the start task fail on every node, one node after the other."""
    task, where = body.get("startTask", {}), ("startTask",)
    for at, file in enumerate(task.get("resourceFiles", ())):
        if not re.fullmatch(r"0?[0-7]{3,4}", file.get("fileMode", "0770")):
            says = f"={file['fileMode']!r} is not an octal mode such as '0770'."
            yield Problem((*where, "resourceFiles", at, "fileMode"), says)
    variables = list(enumerate(task.get("environmentSettings", ())))
    yield from _duplicates(
        ((*where, "environmentSettings", at, "name"), item.get("name")) for at, item in variables
    )
    for at, item in variables:
        if flaw := variable_flaw(item.get("name"), str(item.get("value") or "")):
            yield Problem((*where, "environmentSettings", at), flaw)
    container, engine = task.get("containerSettings"), (_MACHINE, "containerConfiguration")
    if container is not None and _at(body, engine) is None:
        says = " needs a container engine on the nodes; give {0}."
        yield Problem((*where, "containerSettings"), says, (engine,))
    if container is not None and "registry" in container:
        yield from _registry_problems((*where, "containerSettings", "registry"), container["registry"])
    name = _at(task, ("userIdentity", "username"))
    if name is not None and name not in {account.get("name") for account in body.get("userAccounts", ())}:
        yield Problem(
            (*where, "userIdentity", "username"), f"={name!r} is none of {{0}}.", (("userAccounts",),)
        )


def _machine_problems(body: Body, image: object) -> Iterator[Problem]:
    """List what would let the allocation of nodes fail, which is a resize error minutes later."""
    machine = body.get(_MACHINE, {})
    registries: Path = (_MACHINE, "containerConfiguration", "containerRegistries")
    for at, registry in enumerate(_at(body, registries) or ()):
        yield from _registry_problems((*registries, at), registry)
    disks = enumerate(machine.get("dataDisks", ()))
    yield from _duplicates(((_MACHINE, "dataDisks", at, "lun"), disk.get("lun")) for at, disk in disks)
    extensions = list(enumerate(machine.get("extensions", ())))
    yield from _duplicates(
        ((_MACHINE, "extensions", at, "name"), each.get("name")) for at, each in extensions
    )
    names = {each.get("name") for _, each in extensions}
    for at, each in extensions:
        for before in each.get("provisionAfterExtensions", ()):
            if before not in names - {each.get("name")}:
                says = f" contains {before!r}, which is no other extension of the pool."
                yield Problem((_MACHINE, "extensions", at, "provisionAfterExtensions"), says)
    ephemeral: Path = (_MACHINE, "osDisk", "ephemeralOSDiskSettings")
    if _at(body, ephemeral) is not None and body.get(_SPOT, 0) > 0:
        yield Problem(ephemeral, " cannot be combined with {0}.", ((_SPOT,),))
    kind = _at(body, _SECURITY)
    if kind is not None and isinstance(image, str) and "gen1" in image.lower().replace("-", " ").split():
        yield Problem(_SECURITY, f"={kind!r} needs an image of generation 2; image={image!r} has 1.")


def _registry_problems(where: Path, registry: Body) -> Iterator[Problem]:
    """List what would let the pull of an image fail on every node."""
    for one, other in (("username", "password"), ("password", "username")):
        if one in registry and other not in registry:
            yield Problem((*where, other), " is missing beside {0}.", ((*where, one),))


def _mount_problems(body: Body) -> Iterator[Problem]:
    # The second of two mounts at one place fails on the nodes.
    yield from _duplicates(
        (("mountConfiguration", at, kind, "relativeMountPath"), path.strip("/"))
        for at, mount in enumerate(body.get("mountConfiguration", ()))
        for kind, settings in mount.items()
        if isinstance(settings, Mapping) and isinstance(path := settings.get("relativeMountPath"), str)
    )


def _package_problems(body: Body) -> Iterator[Problem]:
    for at, says in package_problems(body.get("applicationPackageReferences", ())):
        yield Problem(("applicationPackageReferences", at, "applicationId"), says)


def _size_problems(body: Body) -> Iterator[Problem]:
    if "autoScaleFormula" in body:
        for says in formula_problems(body["autoScaleFormula"]):
            yield Problem(("autoScaleFormula",), f" {says}")
    where: Path = ("networkConfiguration", "publicIPAddressConfiguration", "ipAddressIds")
    addresses = _at(body, where) or ()
    for name in ("targetDedicatedNodes", _SPOT):
        if addresses and body.get(name, 0) > _NODES_PER_ADDRESS * len(addresses):
            says = f"={body[name]} is more than {_NODES_PER_ADDRESS} nodes for each address in {{0}}."
            yield Problem((name,), says, (where,))


def _duplicates(found: Iterable[tuple[Path, Hashable]]) -> Iterator[Problem]:
    seen: set[Hashable] = set()
    for path, value in found:
        if value in seen:
            yield Problem(path, f"={value!r} is given twice.")
        seen.add(value)


def _unmatched(text: str) -> str | None:
    waiting: list[str] = []
    for character in text:
        if character in _CLOSING:
            waiting.append(character)
        elif character in _CLOSING.values() and (not waiting or _CLOSING[waiting.pop()] != character):
            return character
    return waiting[-1] if waiting else None
