"""Applications and their packages, as ``az batch application`` and the portal make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.account.applications import URL_LIFE, Applications
from airflow_provider_batchlinux.emulator.management.arm import ArmAnswer, ArmCall
from airflow_provider_batchlinux.emulator.protocol.azure_ids import APPLICATION
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.rules.packages import APPLICATION_NAME, VERSION_NAME
from airflow_provider_batchlinux.emulator.state.records import Application, Package

_FIELDS: Mapping[str, tuple[str, type, Any]] = {
    "displayName": ("display_name", str, None),
    "defaultVersion": ("default_version", str, None),
    "allowUpdates": ("allows_updates", bool, True),
}
"""The properties of an application: the field of its record, its type, and its default."""


class ManagedApplications:
    """The applications of one account. Bodies and answers are those recorded of the Azure CLI."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account

    @property
    def _applications(self) -> Applications:
        return self._account.service.applications

    def put(self, call: ArmCall) -> ArmAnswer:
        """Answer PUT of an application."""
        name = _checked(call.values["n"], APPLICATION_NAME)
        defaults = {field: default for field, _, default in _FIELDS.values()}
        return self._shown(self._applications.put(name, {**defaults, **_changes(call)}, call.now))

    def patch(self, call: ArmCall) -> ArmAnswer:
        """Answer PATCH of an application."""
        application = self._applications.find(call.values["n"])
        return self._shown(self._applications.put(application.id, _changes(call), call.now))

    def get(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of an application."""
        return self._shown(self._applications.find(call.values["n"]))

    def list_all(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of all applications."""
        found = self._account.service.store.applications.after("")
        return ArmAnswer(200, {"value": [self._view(application) for _, application in found]})

    def delete(self, call: ArmCall) -> ArmAnswer:
        """Answer DELETE of an application."""
        application = self._account.service.store.applications.get(call.values["n"])
        if application is None:
            return ArmAnswer(204)
        self._applications.delete(application)
        return ArmAnswer(200)

    def put_package(self, call: ArmCall) -> ArmAnswer:
        """Answer PUT of a package."""
        application = self._applications.find(call.values["n"])
        name = _checked(call.values["v"], VERSION_NAME)
        package = self._applications.put_package(application, name, call.now)
        return self._shown_package(call, application, package)

    def get_package(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of a package."""
        application = self._applications.find(call.values["n"])
        package = self._applications.find_package(application, call.values["v"])
        return self._shown_package(call, application, package)

    def list_packages(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of all packages of an application."""
        application = self._applications.find(call.values["n"])
        found = self._account.service.store.packages(application.id).after("")
        views = [self._package_view(call, application, package) for _, package in found]
        return ArmAnswer(200, {"value": views})

    def delete_package(self, call: ArmCall) -> ArmAnswer:
        """Answer DELETE of a package."""
        application = self._account.service.store.applications.get(call.values["n"])
        package = (
            None
            if application is None
            else self._account.service.store.packages(application.id).get(call.values["v"])
        )
        if application is None or package is None:
            return ArmAnswer(204)
        self._applications.delete_package(application, package)
        return ArmAnswer(200)

    def activate(self, call: ArmCall) -> ArmAnswer:
        """Answer POST of the activation of a package."""
        application = self._applications.find(call.values["n"])
        package = self._applications.find_package(application, call.values["v"])
        format_ = call.read().get("format")
        if not isinstance(format_, str):
            raise missing_property(name="format")
        package = self._applications.activate(application, package, format_, call.now)
        return self._shown_package(call, application, package)

    def _shown(self, application: Application) -> ArmAnswer:
        return ArmAnswer(200, self._view(application), {"etag": _etag(application)})

    def _view(self, application: Application) -> dict[str, Any]:
        properties = {name: getattr(application, field) for name, (field, _, _) in _FIELDS.items()}
        return {
            "type": APPLICATION,
            "id": self._account.place.application_id(application.id),
            "name": application.id,
            "etag": _etag(application),
            "properties": {name: value for name, value in properties.items() if value is not None},
        }

    def _shown_package(self, call: ArmCall, application: Application, package: Package) -> ArmAnswer:
        view = self._package_view(call, application, package)
        return ArmAnswer(200, view, {"etag": _etag(package)})

    def _package_view(self, call: ArmCall, application: Application, package: Package) -> dict[str, Any]:
        # Versions after 2025-06-01 show the URL only when the package is created.
        properties = {
            "storageUrl": self._applications.url(application, package),
            "storageUrlExpiry": format_instant(call.now + URL_LIFE),
            "state": "Pending",
        }
        if package.activated is not None:
            activated = format_instant(package.activated)
            properties |= {"state": "Active", "format": "zip", "lastActivationTime": activated}
        return {
            "type": f"{APPLICATION}/versions",
            "id": f"{self._account.place.application_id(application.id)}/versions/{package.name}",
            "name": package.name,
            "etag": _etag(package),
            "properties": properties,
        }


def _changes(call: ArmCall) -> dict[str, Any]:
    """Return the fields of an application that a body changes, which may be empty."""
    given = (call.read() if call.body else {}).get("properties") or {}
    changes = {}
    for name, value in given.items():
        if name not in _FIELDS:
            raise refused(value, of=name, reason=f"An application has no property '{name}'.")
        field, kind, _ = _FIELDS[name]
        if value is None:
            continue
        if not isinstance(value, kind):
            raise refused(value, of=name)
        changes[field] = value
    return changes


def _checked(name: str, pattern: re.Pattern[str]) -> str:
    """Return a name from a path. Recorded: the Azure CLI shows this error for a name with spaces."""
    if pattern.fullmatch(name) is None:
        raise ServiceError(Code.INVALID_URI)
    return name


def _etag(record: Application | Package) -> str:
    return f'W/"{record.version.etag}"'


_Handler = Callable[[ManagedApplications, ArmCall], ArmAnswer]
_ROOT = "/applications"
_VERSIONS = f"{_ROOT}/{{n}}/versions"

ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", _ROOT, ManagedApplications.list_all),
    ("GET", f"{_ROOT}/{{n}}", ManagedApplications.get),
    ("PUT", f"{_ROOT}/{{n}}", ManagedApplications.put),
    ("PATCH", f"{_ROOT}/{{n}}", ManagedApplications.patch),
    ("DELETE", f"{_ROOT}/{{n}}", ManagedApplications.delete),
    ("GET", _VERSIONS, ManagedApplications.list_packages),
    ("GET", f"{_VERSIONS}/{{v}}", ManagedApplications.get_package),
    ("PUT", f"{_VERSIONS}/{{v}}", ManagedApplications.put_package),
    ("DELETE", f"{_VERSIONS}/{{v}}", ManagedApplications.delete_package),
    ("POST", f"{_VERSIONS}/{{v}}/activate", ManagedApplications.activate),
)
"""Methods, paths below the account, and what answers them."""
