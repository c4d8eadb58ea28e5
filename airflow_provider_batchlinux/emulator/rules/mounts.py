"""Validation of the mounts of pools, and which of them no node can mount."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from airflow_provider_batchlinux.emulator.protocol.errors import refused
from airflow_provider_batchlinux.emulator.state.records import Json

_CREDENTIALS = ("accountKey", "sasKey", "identityReference")
_FILE_URL = re.compile(r"https://[^/]+/[^/]+", re.IGNORECASE)
_NFS_SOURCE = re.compile(r"(\[[^\]]+\]|[^/:]+):/.*")
_CIFS_SOURCE = re.compile(r"(//|\\\\)[^/\\]+[/\\][^/\\]+.*")
_IS_MOUNTABLE: Mapping[str, Callable[[Json], bool]] = {
    "azureBlobFileSystemConfiguration": lambda _mount: True,
    "azureFileShareConfiguration": lambda mount: _FILE_URL.match(mount["azureFileUrl"]) is not None,
    "nfsMountConfiguration": lambda mount: _NFS_SOURCE.fullmatch(mount["source"]) is not None,
    "cifsMountConfiguration": lambda mount: _CIFS_SOURCE.fullmatch(mount["source"]) is not None,
}


def check_mounts(mounts: Iterable[Json]) -> None:
    """
    Raise an error for a mount that is not exactly one, or a blob container without exactly one credential.

    Documented; the error codes are assumed.
    """
    for mount in mounts:
        if len(mount) != 1:
            reason = f"A mount has exactly one of {', '.join(_IS_MOUNTABLE)}."
            raise refused(", ".join(mount) or "none", of="mountConfiguration", reason=reason)
        blobs = mount.get("azureBlobFileSystemConfiguration", {"accountKey": ""})
        given = [name for name in _CREDENTIALS if name in blobs]
        if len(given) != 1:
            reason = f"A mount of a blob container has exactly one of {', '.join(_CREDENTIALS)}."
            raise refused(", ".join(given) or "none", of="azureBlobFileSystemConfiguration", reason=reason)


def source_of(mount: Json) -> str:
    """Return the name of what is mounted: a share or export, or ``account/container``."""
    ((kind, settings),) = mount.items()
    if kind == "azureBlobFileSystemConfiguration":
        return f"{settings['accountName']}/{settings['containerName']}"
    return str(settings["azureFileUrl" if kind == "azureFileShareConfiguration" else "source"])


def mount_error(mounts: Iterable[Json], directories: Mapping[str, Path]) -> Json | None:
    """
    Return the error of a node whose mounts cannot work; ``None`` if they can.

    Message and names are documented; the code is assumed. The value of ``Message`` is from the manual of
    ``mount``: the documentation shows another sentence of it.

    :param directories: the directories that stand in for what is mounted, by its name.
    """
    for mount in mounts:
        ((kind, settings),) = mount.items()
        path, source = settings["relativeMountPath"], source_of(mount)
        is_inside = not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
        problem = "Mount failure"
        if is_inside and _IS_MOUNTABLE[kind](settings):
            if source in directories:
                continue
            # Only the owner of the machine could mount it. A task that finds no mount would fail later, or
            # succeed with nothing.
            problem = f"The embedded service cannot mount {source!r}. Name a directory for it: --mount"
        return {
            "code": "MountConfigurationError",
            "message": "An error was encountered while configuring specified mount(s)",
            "errorDetails": [
                {"name": "Message", "value": problem},
                {"name": "MountConfigurationPath", "value": path},
            ],
        }
    return None
