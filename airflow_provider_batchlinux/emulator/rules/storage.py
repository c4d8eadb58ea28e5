"""Validation of the resource and output files of tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_batchlinux.emulator.blobs.failures import without_signature
from airflow_provider_batchlinux.emulator.protocol.errors import missing_property, refused
from airflow_provider_batchlinux.emulator.state.records import Json

_LONGEST_VARIABLE = 128 * 1024
"""What Linux takes for one string of an environment: 32 pages."""
_SOURCES = ("autoStorageContainerName", "storageContainerUrl", "httpUrl")
_URLS = frozenset({"storageContainerUrl", "httpUrl"})
_FILE_MODE = re.compile(r"[0-7]{3,4}")


def check_task_files(task: Json) -> None:
    """
    Raise an error for invalid files, variables and containers of a task of any kind.

    The error codes of files and containers are assumed.

    :raises ServiceError: the first invalid value.
    """
    check_environment(task.get("environmentSettings", ()))
    if "containerSettings" in task:
        _check_container(task["containerSettings"])
    for file in task.get("resourceFiles", ()):
        _check_resource_file(file)
    for file in task.get("outputFiles", ()):
        _check_output_file(file)


def with_working_directory(task: Json) -> Json:
    """Return a task of any kind, with the working directory of its container if it has one."""
    if "containerSettings" not in task:
        return task
    settings = {"workingDirectory": "taskWorkingDirectory", **task["containerSettings"]}
    return {**task, "containerSettings": settings}


def check_registry(registry: Json) -> None:
    """Raise an error for a container registry with two ways to log in. The code is assumed."""
    if "username" in registry and "identityReference" in registry:
        reason = "A registry has either a username and a password, or an identityReference."
        raise refused(registry["username"], of="username", reason=reason)


def check_environment(settings: Sequence[Json]) -> None:
    """
    Refuse variables that no process of Linux can have.

    How the service refuses them is not documented; assumed.
    """
    for setting in settings:
        name, value = setting["name"], setting.get("value", "")
        if not name or "=" in name or "\0" in name:
            reason = (
                "The name of an environment variable has at least one character, and neither '=' nor NUL."
            )
            raise refused(name, of="name", reason=reason)
        if "\0" in value or len(f"{name}={value}".encode()) >= _LONGEST_VARIABLE:
            reason = f"An environment variable has no NUL, and is shorter than {_LONGEST_VARIABLE} bytes."
            raise refused(name, of="value", reason=reason)


def _check_container(settings: Json) -> None:
    if not settings["imageName"].strip():
        raise refused(settings["imageName"], of="imageName")
    check_registry(settings.get("registry", {}))


def _check_resource_file(file: Json) -> None:
    sources = [name for name in _SOURCES if name in file]
    if len(sources) != 1:
        found = ", ".join(sources) or "none"
        raise refused(found, of="resourceFiles", reason=f"A resource file has one of {', '.join(_SOURCES)}.")
    if sources[0] in _URLS:
        _check_url(file[sources[0]], sources[0])
    if sources[0] == "httpUrl":
        if not file.get("filePath"):
            raise missing_property(name="filePath")
        if "blobPrefix" in file:
            raise refused(file["blobPrefix"], of="blobPrefix", reason="A blobPrefix needs a container.")
    if "fileMode" in file and not _FILE_MODE.fullmatch(file["fileMode"]):
        raise refused(file["fileMode"], of="fileMode", reason="A fileMode is an octal number.")


def _check_output_file(file: Json) -> None:
    container = file["destination"].get("container")
    if container is None:
        raise missing_property(name="container")
    _check_url(container["containerUrl"], "containerUrl")


def _check_url(url: str, name: str) -> None:
    if not re.match(r"https?://[^/?#]", url, re.IGNORECASE):
        reason = "The URL is neither one of http nor of https."
        raise refused(without_signature(url), of=name, reason=reason)
