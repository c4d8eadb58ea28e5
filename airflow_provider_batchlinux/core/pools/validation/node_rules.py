"""The rules for what runs on, belongs to or is mounted on a node; imports only the standard library."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.core.pools.validation.validate import Path, Problem

__all__ = ["node_problems"]

Body = Mapping[str, Any]

_MACHINE = "virtualMachineConfiguration"
_APPLICATION = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+/.+", re.IGNORECASE
)
_SOURCES = ("httpUrl", "storageContainerUrl", "autoStorageContainerName")
_BLOB_LOGINS = ("accountKey", "sasKey", "identityReference")
_LINUX_ONLY = " is for Windows; this provider makes pools of Linux nodes."


def node_problems(body: Body) -> Iterator[Problem]:
    """List what the service would refuse in what runs on, belongs to or is mounted on a node."""
    machine = body.get(_MACHINE, {})
    for name in ("windowsConfiguration", "licenseType"):
        if name in machine:
            yield Problem((_MACHINE, name), _LINUX_ONLY)
    yield from _start_task_problems(body)
    yield from _application_problems(body.get("applicationPackageReferences", ()))
    yield from _account_problems(body.get("userAccounts", ()))
    yield from _mount_problems(body.get("mountConfiguration", ()))
    disks = machine.get("dataDisks", ())
    yield from _taken(((_MACHINE, "dataDisks", at, "lun"), disk["lun"]) for at, disk in enumerate(disks))
    yield from _extension_problems(machine.get("extensions", ()))
    registries: Path = (_MACHINE, "containerConfiguration", "containerRegistries")
    for at, registry in enumerate(machine.get("containerConfiguration", {}).get("containerRegistries", ())):
        yield from _registry_problems((*registries, at), registry)


def _start_task_problems(body: Body) -> Iterator[Problem]:
    task, where = body.get("startTask", {}), ("startTask",)
    for at, file in enumerate(task.get("resourceFiles", ())):
        yield from _file_problems((*where, "resourceFiles", at), file)
    names = task.get("environmentSettings", ())
    yield from _taken(
        ((*where, "environmentSettings", at, "name"), item["name"]) for at, item in enumerate(names)
    )
    container = task.get("containerSettings")
    engine: Path = (_MACHINE, "containerConfiguration")
    if container is not None and engine[1] not in body.get(_MACHINE, {}):
        yield Problem(
            (*where, "containerSettings"), " needs a container engine on the nodes; give {0}.", (engine,)
        )
    if container is not None and "registry" in container:
        yield from _registry_problems((*where, "containerSettings", "registry"), container["registry"])
    yield from _identity_problems(task.get("userIdentity", {}), body.get("userAccounts", ()))


def _identity_problems(identity: Body, accounts: Iterable[Body]) -> Iterator[Problem]:
    where: Path = ("startTask", "userIdentity", "username")
    name = identity.get("username")
    if name is not None and "autoUser" in identity:
        yield Problem(where, " and {0} exclude each other.", ((*where[:-1], "autoUser"),))
    if name is not None and name not in {account["name"] for account in accounts}:
        yield Problem(where, f"={name!r} is none of {{0}}.", (("userAccounts",),))


def _file_problems(where: Path, file: Body) -> Iterator[Problem]:
    sources = [name for name in _SOURCES if name in file]
    if len(sources) != 1:
        others = tuple((*where, name) for name in _SOURCES)
        yield Problem(
            where,
            " names " + ("no source" if not sources else "several") + "; give one of {0}, {1}, {2}.",
            others,
        )
    if "httpUrl" in file and "filePath" not in file:
        yield Problem((*where, "filePath"), " is missing; a single file needs a name.")
    if "httpUrl" in file and "blobPrefix" in file:
        yield Problem((*where, "blobPrefix"), " is for the files of a container, not for one file.")
    if not re.fullmatch(r"0?[0-7]{3,4}", file.get("fileMode", "0770")):
        yield Problem((*where, "fileMode"), f"={file['fileMode']!r} is no mode in octal such as '0770'.")


def _registry_problems(where: Path, registry: Body) -> Iterator[Problem]:
    has_login = "username" in registry or "password" in registry
    if has_login and "identityReference" in registry:
        yield Problem(
            (*where, "identityReference", "resourceId"), " and a user with password exclude each other."
        )
    for one, other in (("username", "password"), ("password", "username")):
        if one in registry and other not in registry:
            yield Problem((*where, other), " is missing beside {0}.", ((*where, one),))


def _application_problems(references: Iterable[Body]) -> Iterator[Problem]:
    where: Path = ("applicationPackageReferences",)
    found = [
        ((*where, at, "applicationId"), reference["applicationId"]) for at, reference in enumerate(references)
    ]
    for path, application in found:
        if not _APPLICATION.fullmatch(application):
            says = f"={application!r} is no whole ARM id (/subscriptions/.../applications/NAME)."
            yield Problem(path, says)


def _account_problems(accounts: Iterable[Body]) -> Iterator[Problem]:
    for at, account in enumerate(accounts):
        where: Path = ("userAccounts", at)
        linux = account.get("linuxUserConfiguration", {})
        if ("uid" in linux) != ("gid" in linux):
            names = tuple((*where, "linuxUserConfiguration", name) for name in ("uid", "gid"))
            yield Problem(names[0], " and {0} are given together or not at all.", names[1:])
        if "windowsUserConfiguration" in account:
            yield Problem((*where, "windowsUserConfiguration"), _LINUX_ONLY)
    names_taken = ((("userAccounts", at, "name"), account["name"]) for at, account in enumerate(accounts))
    yield from _taken(names_taken)


def _mount_problems(mounts: Iterable[Body]) -> Iterator[Problem]:
    paths: list[tuple[Path, Hashable]] = []
    for at, mount in enumerate(mounts):
        where: Path = ("mountConfiguration", at)
        if len(mount) != 1:
            yield Problem(where, f" holds {len(mount)} file systems; give one in each entry.")
        for kind, settings in mount.items():
            paths.append(((*where, kind, "relativeMountPath"), settings["relativeMountPath"].strip("/")))
        blob = mount.get("azureBlobFileSystemConfiguration")
        if blob is not None and sum(name in blob for name in _BLOB_LOGINS) != 1:
            yield _blob_login_problem((*where, "azureBlobFileSystemConfiguration"))
    yield from _taken(paths)


def _blob_login_problem(where: Path) -> Problem:
    key, sas, identity = ((*where, name) for name in _BLOB_LOGINS)
    says = ", {0} and {1} are three ways to log in; give exactly one."
    return Problem(key, says, (sas, (*identity, "resourceId")))


def _extension_problems(extensions: Iterable[Body]) -> Iterator[Problem]:
    where: Path = (_MACHINE, "extensions")
    items = list(enumerate(extensions))
    yield from _taken(((*where, at, "name"), extension["name"]) for at, extension in items)
    names = {extension["name"] for _, extension in items}
    for at, extension in items:
        for before in extension.get("provisionAfterExtensions", ()):
            if before not in names - {extension["name"]}:
                says = f" names {before!r}, which is no other extension of the pool."
                yield Problem((*where, at, "provisionAfterExtensions"), says)


def _taken(found: Iterable[tuple[Path, Hashable]]) -> Iterator[Problem]:
    """List the values that occur for a second time."""
    seen: set[Hashable] = set()
    for path, value in found:
        if value in seen:
            yield Problem(path, f"={value!r} is there twice.")
        seen.add(value)
