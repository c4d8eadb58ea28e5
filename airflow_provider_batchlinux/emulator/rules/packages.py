"""References to application packages: which package one means, and the variables of installed ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.protocol.azure_ids import AccountPlace
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.state.records import Application, Json, Package
from airflow_provider_batchlinux.emulator.state.store import Store

APPLICATION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
VERSION_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
MOST_PACKAGES = 10
"""References to application packages of a pool."""
_NO_PACKAGE = "The specified application package does not exist."
_PREFIX = "AZ_BATCH_APP_PACKAGE_"


@dataclass(frozen=True)
class FoundPackage:
    """
    The package that a reference means.

    :param is_default: whether it is meant because it is the default version.
    """

    application: Application
    package: Package
    is_default: bool

    @property
    def directory(self) -> str:
        """
        The name of its directory on a node.

        Seen in published output: name, version and the time of the activation up to minutes, without a
        separator. The rest of the version keeps two activations within a minute apart.
        """
        activated = self.package.activated
        at = "" if activated is None else f"{activated:%Y-%m-%d-%H-%M}"
        return f"{self.application.id}{self.package.name}{at}-{self.package.version.etag[-6:]}"

    def environment(self, directory: str) -> dict[str, str]:
        """
        Return the variables with its directory.

        Documented: Linux has underscores in place of other characters, and no version for the default one.
        Seen in published output: then there is the one with the version, too, and the letters of the id
        stay as they are. The documentation says both that they stay and that they become lower case.
        """
        names = [f"{self.application.id}_{self.package.name}"]
        names += [self.application.id] if self.is_default else []
        return {_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name): directory for name in names}


FindPackage = Callable[[Json], "FoundPackage | str"]


def find_package(store: Store, place: AccountPlace, reference: Json) -> FoundPackage | str:
    """
    Return the active package that a reference means, or why there is none.

    Recorded is only the sentence for an unknown application; the others are assumed.

    :param reference: its ``applicationId`` is the complete id of the application, or its name.
    """
    name: str = reference["applicationId"]
    whole = place.application_id("")
    if name.lower().startswith(whole.lower()):
        name = name[len(whole) :]
    application = store.applications.get(name)
    if application is None:
        return _NO_PACKAGE
    wanted = reference.get("version") or application.default_version
    if wanted is None:
        return "The specified application has no default version, and the reference names no version."
    package = store.packages(application.id).get(wanted)
    if package is None:
        return _NO_PACKAGE
    if package.activated is None:
        return "The specified application package is not active."
    return FoundPackage(application, package, not reference.get("version"))


def check_packages(references: Iterable[Json], store: Store, place: AccountPlace) -> None:
    """
    Raise an error for references of a pool that mean no active package.

    How the service refuses too many references is not documented; assumed.
    """
    given = list(references)
    if len(given) > MOST_PACKAGES:
        reason = f"A pool has at most {MOST_PACKAGES} application packages."
        raise refused(len(given), of="applicationPackageReferences", reason=reason)
    _raise_for(
        {reference["applicationId"]: find_package(store, place, reference) for reference in references}
    )


def check_task_packages(references: Iterable[Json], store: Store, place: AccountPlace) -> None:
    """
    Raise an error for references of a task that mean no active package.

    Documented: a reference without a version to an application without a default is accepted, and the task
    fails before its command.
    """
    _raise_for(
        {
            reference["applicationId"]: found
            for reference in references
            if isinstance(found := find_package(store, place, reference), str)
            and (found == _NO_PACKAGE or reference.get("version"))
        }
    )


def _raise_for(found: Mapping[str, FoundPackage | str]) -> None:
    values = {name: why for name, why in found.items() if isinstance(why, str)}
    if values:
        raise ServiceError(Code.INVALID_APPLICATION_PACKAGE_REFERENCES, values)
