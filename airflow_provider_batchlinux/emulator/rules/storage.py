"""Validation of the resource and output files of tasks."""

from __future__ import annotations

import re

from airflow_provider_batchlinux.emulator.blobs.failures import without_signature
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.state.records import Json

_SOURCES = ("autoStorageContainerName", "storageContainerUrl", "httpUrl")
_URLS = frozenset({"storageContainerUrl", "httpUrl"})
_FILE_MODE = re.compile(r"[0-7]{3,4}")


def check_task_files(task: Json) -> None:
    """
    Raise an error for invalid files of a task of any kind.

    The error codes of files are assumed. Application packages are always refused, since applications are
    added with Azure Resource Manager.

    :raises ServiceError: the first invalid value.
    """
    for file in task.get("resourceFiles", ()):
        _check_resource_file(file)
    for file in task.get("outputFiles", ()):
        _check_output_file(file)
    if task.get("applicationPackageReferences"):
        raise ServiceError(Code.INVALID_APPLICATION_PACKAGE_REFERENCES)


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
