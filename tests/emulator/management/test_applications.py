"""Applications and packages, made as ``az batch application`` and the portal make them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.batch import BatchManagementClient, models
from azure.mgmt.batch.models import ActivateApplicationPackageParameters, Application
from azure.storage.blob import BlobClient

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.emulator.entra import credential


def application_with(**properties: Any) -> Application:
    """Return an application; release 18 of the SDK has its properties in itself."""
    made = getattr(models, "ApplicationProperties", None)
    return Application(**properties) if made is None else Application(properties=made(**properties))


def parts(model: Any) -> Any:
    """Return the properties of what the SDK has read."""
    return getattr(model, "properties", model)


class Applications:
    """The calls of the Azure CLI for the applications of one account, through its SDK."""

    def __init__(self, emulator: RunningEmulator, client: BatchManagementClient) -> None:
        assert emulator.management is not None
        self._ca = str(emulator.ca)
        self._names = emulator.management.resource_group, emulator.account
        self.pools = client.pool
        self.applications = client.application
        self.packages = client.application_package

    def create(self, name: str, **properties: Any) -> Any:
        application = application_with(**properties) if properties else None
        return self.applications.create(*self._names, name, application)

    def set(self, name: str, **properties: Any) -> Any:
        changes = application_with(**properties)
        return self.applications.update(*self._names, name, changes)

    def upload(self, name: str, version: str, content: bytes) -> Any:
        made: Any = self.packages.create(*self._names, name, version)
        with BlobClient.from_blob_url(parts(made).storage_url, connection_verify=self._ca) as blob:
            blob.upload_blob(content, overwrite=True)
        return made

    def activate(self, name: str, version: str, format_: str = "zip") -> Any:
        parameters = ActivateApplicationPackageParameters(format=format_)
        return self.packages.activate(*self._names, name, version, parameters)

    def use(self, name: str) -> None:
        reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
        machine = {"imageReference": reference, "nodeAgentSkuId": "batch.node.ubuntu 24.04"}
        properties = {
            "vmSize": "standard_d2s_v5",
            "deploymentConfiguration": {"virtualMachineConfiguration": machine},
            "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0}},
            "applicationPackages": [{"id": self.show(name).id, "version": "1.0"}],
        }
        pool: Any = {"properties": properties}
        self.pools.create(*self._names, "linux", pool)

    def show(self, name: str, *version: str) -> Any:
        return (self.packages if version else self.applications).get(*self._names, name, *version)

    def list(self, *name: str) -> list[str | None]:
        found = (self.packages if name else self.applications).list(*self._names, *name)
        return [each.name for each in found]

    def delete(self, name: str, *version: str) -> None:
        (self.packages if version else self.applications).delete(*self._names, name, *version)


@pytest.fixture
def az(secure_emulator: RunningEmulator) -> Iterator[Applications]:
    """Give the calls for an empty account."""
    facts = secure_emulator.management
    assert facts is not None
    with BatchManagementClient(
        credential(secure_emulator),
        facts.subscription_id,
        base_url=facts.url,
        credential_scopes=[f"{facts.url}/.default"],
        connection_verify=str(secure_emulator.ca),
    ) as client:
        yield Applications(secure_emulator, client)


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_package_is_created_uploaded_activated_and_made_the_default(az: Applications) -> None:
    created = az.create("tools")
    pending = az.upload("tools", "1.0", zipped(run="x"))
    active = az.activate("tools", "1.0")
    changed = az.set("tools", default_version="1.0", display_name="The tools")

    assert (parts(created).allow_updates, parts(created).default_version) == (True, None)
    assert (parts(pending).state, parts(pending).format) == ("Pending", None)
    assert parts(pending).storage_url.partition("?")[0].endswith("/1.0")
    assert parts(pending).storage_url_expiry is not None
    assert (parts(active).state, parts(active).format) == ("Active", "zip")
    assert parts(active).last_activation_time is not None
    assert parts(changed).default_version == "1.0"
    az.use("tools")
    assert parts(az.show("tools")).display_name == "The tools"
    assert (az.list(), az.list("tools")) == (["tools"], ["1.0"])
    assert az.show("tools", "1.0").etag == active.etag != pending.etag


def test_what_is_deleted_is_gone(az: Applications) -> None:
    az.create("tools")
    az.upload("tools", "1.0", zipped())
    az.set("tools", default_version="1.0")
    az.delete("tools", "1.0")

    assert parts(az.show("tools")).default_version is None
    az.delete("tools")
    az.delete("tools")
    assert az.list() == []


def _updates(az: Applications) -> None:
    az.create("tools", allow_updates=False)
    az.upload("tools", "1.0", zipped())
    az.upload("tools", "1.0", zipped())


def _full(az: Applications) -> None:
    az.create("tools")
    az.upload("tools", "1.0", zipped())
    az.delete("tools")


def _default(az: Applications) -> None:
    az.create("tools")
    az.set("tools", default_version="1.0")


def _format(az: Applications) -> None:
    az.create("tools")
    az.upload("tools", "1.0", zipped())
    az.activate("tools", "1.0", "tar")


def _pending(az: Applications) -> None:
    az.create("tools")
    az.upload("tools", "1.0", zipped())
    az.use("tools")


def _not_uploaded(az: Applications) -> None:
    az.create("tools")
    az.packages.create(*az._names, "tools", "1.0")
    az.activate("tools", "1.0")


REFUSALS = [
    pytest.param(lambda az: az.show("other"), 404, "ApplicationNotFound", id="no application"),
    pytest.param(lambda az: az.upload("other", "1", b""), 404, "ApplicationNotFound", id="of none"),
    pytest.param(_default, 404, "ApplicationPackageNotFound", id="no package"),
    pytest.param(_not_uploaded, 404, "ApplicationPackageBlobNotFound", id="not uploaded"),
    pytest.param(_format, 400, "InvalidPropertyValue", id="another format"),
    pytest.param(_pending, 409, "InvalidApplicationPackageReferences", id="not activated"),
    pytest.param(_updates, 409, "ApplicationPackageExists", id="no updates"),
    pytest.param(_full, 409, "ApplicationContainsPackages", id="with packages"),
]


@pytest.mark.parametrize(("do", "status", "code"), REFUSALS)
def test_what_cannot_be_done_is_refused(do: Any, status: int, code: str, az: Applications) -> None:
    with pytest.raises(HttpResponseError) as refused:
        do(az)

    error: Any = refused.value.error
    assert (refused.value.status_code, error.code) == (status, code)
