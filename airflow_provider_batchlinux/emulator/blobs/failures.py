"""
Failures of tasks because of their resource and output files.

Codes and messages of downloads are documented, and so are those of a missing container for output files. The
other messages and the categories of upload failures are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

_SIGNATURE = re.compile(r"([?&]sig=)[^&#]*", re.IGNORECASE)


class Failure(Enum):
    """A reason for a task to fail."""

    BLOB_NOT_FOUND = ("BlobNotFound", "usererror", "One of the specified Azure Blob(s) is not found")
    BLOB_ACCESS_DENIED = (
        "BlobAccessDenied",
        "usererror",
        "Access for one of the specified Azure Blob(s) is denied",
    )
    BLOB_DOWNLOAD_TIMED_OUT = (
        "BlobDownloadTimedOut",
        "servererror",
        "Timeout encountered while downloading one of the specified Azure Blob(s)",
    )
    BLOB_DOWNLOAD_MISC_ERROR = (
        "BlobDownloadMiscError",
        "servererror",
        "Miscellaneous error encountered while downloading one of the specified Azure Blob(s)",
    )
    RESOURCE_CONTAINER_ACCESS_DENIED = (
        "ResourceContainerAccessDenied",
        "usererror",
        "Access for one of the specified Azure Blob container(s) is denied",
    )
    RESOURCE_DIRECTORY_CREATE_FAILED = (
        "ResourceDirectoryCreateFailed",
        "servererror",
        "Failure encountered creating resource directory for the task",
    )
    RESOURCE_FILE_WRITE_FAILED = (
        "ResourceFileWriteFailed",
        "servererror",
        "Failure encountered writing resource file",
    )
    FILE_UPLOAD_CONTAINER_NOT_FOUND = (
        "FileUploadContainerNotFound",
        "usererror",
        "One of the specified Azure container(s) was not found while attempting to upload an output file",
    )
    FILE_UPLOAD_ACCESS_DENIED = (
        "FileUploadAccessDenied",
        "usererror",
        "Access to one of the specified file upload destinations was denied",
    )
    FILE_UPLOAD_MISC_ERROR = (
        "FileUploadMiscError",
        "usererror",
        "A miscellaneous error was encountered while uploading one of the output files",
    )

    def __init__(self, code: str, category: str, sentence: str) -> None:
        self.code = code
        self.category = category
        self.sentence = sentence


UPLOAD_CODES = frozenset(failure.code for failure in Failure if failure.name.startswith("FILE_UPLOAD"))
DOWNLOAD_CODES = frozenset(failure.code for failure in Failure) - UPLOAD_CODES


class StorageFailed(Exception):
    """
    A file could not be downloaded or uploaded.

    :param details: details of the failure. They never contain a signature.
    """

    def __init__(self, failure: Failure, details: Mapping[str, str]) -> None:
        super().__init__(failure.sentence)
        self.failure = failure
        self.details = dict(details)

    @property
    def info(self) -> dict[str, Any]:
        """The task's ``failureInfo``; recorded: it has no empty list of details."""
        pairs = [{"name": name, "value": value} for name, value in self.details.items()]
        failure = self.failure
        info = {"category": failure.category, "code": failure.code, "message": failure.sentence}
        return {**info, "details": pairs} if pairs else info


def without_signature(url: str) -> str:
    """Return a URL with its signature redacted, for messages and logs."""
    return _SIGNATURE.sub(r"\1REDACTED", url)
