"""Installs application packages on a node, in a directory that its tasks share."""

from __future__ import annotations

import asyncio
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.protocol.local_files import make_directory, remove_tree
from airflow_provider_batchlinux.emulator.rules.packages import FoundPackage
from airflow_provider_batchlinux.emulator.state.records import Json

_ERROR = "ApplicationPackageError"
_DOWNLOAD_FAILED = "Resource download failed"


RequestedPackage = tuple[Json, "FoundPackage | str"]
"""A reference, and its package or why there is none."""


class InstallationFailed(Exception):
    """
    A package could not be installed.

    :param info: the error of the node.
    """

    def __init__(self, info: Json) -> None:
        super().__init__(info["message"])
        self.info = info

    @property
    def task_failure(self) -> Json:
        """The ``failureInfo`` of a task. Documented is that it fails; the code is assumed."""
        info = {name: value for name, value in self.info.items() if name != "errorDetails"}
        return {"category": "usererror", **info, "details": self.info["errorDetails"]}


class PackageInstaller:
    """
    Installs packages in the applications directory of a node.

    :param directory: that directory.
    :param storage: the auto-storage account.
    """

    def __init__(self, directory: Path, storage: BlobStorage) -> None:
        self._directory = directory
        self._storage = storage
        self._turn = asyncio.Lock()

    async def install(self, packages: Sequence[RequestedPackage], *, of: str) -> Mapping[str, str]:
        """
        Install packages, and return their variables.

        Documented: a package that is on the node already is not installed again.

        :param of: what refers to them, ``pool`` or ``task``.
        :raises InstallationFailed: one cannot be installed.
        """
        environment: dict[str, str] = {}
        async with self._turn:
            for reference, found in packages:
                if isinstance(found, str):
                    raise InstallationFailed(_error(reference, found, of=of))
                target = self._directory / found.directory
                problem = await asyncio.to_thread(self._unpack, found, target)
                if problem is not None:
                    raise InstallationFailed(_error(reference, problem, of=of))
                environment |= found.environment(str(target))
        return environment

    def _unpack(self, found: FoundPackage, target: Path) -> str | None:
        """Unpack a package, and return the problem, if any. A directory is there completely or not at all."""
        if target.is_dir():
            return None
        try:
            blob = self._storage.files.blob(found.application.container, found.package.name)
        except BlobError:
            return _DOWNLOAD_FAILED
        aside = self._directory / uuid4().hex
        make_directory(aside)
        try:
            # Seen on nodes: the zip file stays beside its directory.
            packed = shutil.copyfile(
                self._storage.files.path(found.application.container, blob), f"{target}.zip"
            )
            with zipfile.ZipFile(packed) as archive:
                for entry in archive.infolist():
                    _extract(archive, entry, aside)
            aside.rename(target)
        except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            remove_tree(aside)
            return f"The package could not be unpacked: {error}"
        return None


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, directory: Path) -> None:
    """Extract an entry, whose path stays in the directory, with its permissions."""
    path = Path(archive.extract(entry, directory))
    mode = entry.external_attr >> 16 & 0o777
    if mode and path.is_file():
        # Not documented; assumed, as every unzip does it: without it no program could be run.
        os.chmod(path, mode | 0o600)


def _error(reference: Json, message: str, *, of: str) -> Json:
    """Return the error of a node or task. Documented for nodes; for tasks it is assumed."""
    named = f"{reference['applicationId'].rpartition('/')[2]}:{reference.get('version', '')}".rstrip(":")
    return {
        "code": _ERROR,
        "message": f"One or more application packages specified for the {of} are invalid",
        "errorDetails": [
            {"name": "ApplicationPackageReference", "value": named},
            {"name": "Message", "value": message},
        ],
    }
