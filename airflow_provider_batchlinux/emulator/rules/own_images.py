"""Managed images and images of a compute gallery: which are taken, and what is known of them."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.protocol.azure_ids import (
    GALLERY_IMAGE,
    GALLERY_VERSION,
    MANAGED_IMAGE,
    kind_of,
)
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.rules.caller import Caller, needs_entra
from airflow_provider_batchlinux.emulator.rules.images import ImageTraits, known_images, marketplace_traits
from airflow_provider_batchlinux.emulator.rules.networks import (
    check_access,
    check_region,
    check_subscription,
    missing_privilege,
)
from airflow_provider_batchlinux.emulator.state.records import Json, Resource
from airflow_provider_batchlinux.emulator.state.store import Store

_PROPERTY = "virtualMachineImageId"
_COMPUTE = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Compute"
_GALLERY_FORM = f"{_COMPUTE}/galleries/{{galleryName}}/images/{{galleryImageName}}"
_FORMS = (
    f"The specified resource id must be of the format {_COMPUTE}/images/{{imageName}}, "
    f"{_GALLERY_FORM}/versions/{{galleryImageVersionName}}, or {_GALLERY_FORM}"
)
_READ = {kind.lower(): f"{kind}/read" for kind in (MANAGED_IMAGE, GALLERY_IMAGE, GALLERY_VERSION)}


def check_own_image(image_id: str, machine: Json, caller: Caller) -> None:
    """
    Raise an error for the id of an image that the caller cannot use, or for an unknown node agent.

    Recorded: the form of the id is checked before the authentication. Documented: the image is in the
    subscription of the account, and in its region, also as a replica. The answers are assumed, in words that
    the service uses for other resources.
    """
    kind = kind_of(image_id)
    if kind not in _READ:
        raise refused(image_id, of=_PROPERTY, reason=_FORMS)
    if caller.is_signed:
        raise needs_entra(of="Compute")
    check_subscription(image_id, caller.place.subscription_id, of=_PROPERTY)
    version = _version(caller.store, image_id)
    if version is None:
        raise missing_privilege(image_id, of=_PROPERTY, action=_READ[kind])
    check_access(version, of=_PROPERTY, action=_READ[kind])
    check_region(_regions(version), image_id, caller, of=_PROPERTY)
    agents = {row["nodeAgentSKUId"].lower() for row in known_images()}
    if machine["nodeAgentSKUId"].lower() not in agents:
        raise ServiceError(Code.NODE_AGENT_SKU_NOT_FOUND)


def image_traits(store: Store, machine: Json) -> ImageTraits | None:
    """Return what decides which VM sizes boot the image of a pool; ``None`` if nothing is known of it."""
    image_id = machine["imageReference"].get(_PROPERTY)
    if image_id is None:
        return marketplace_traits(machine["imageReference"])
    # Of a version of a gallery, its image knows it.
    image: Resource | None = store.resources.get(image_id.partition("/versions/")[0])
    if image is None:
        return None
    properties = image.properties
    generation = str(properties.get("hyperVGeneration") or "V1").upper()
    architecture = "Arm64" if str(properties.get("architecture")).lower() == "arm64" else "x64"
    return ImageTraits(architecture, generation.removeprefix("V"))


def fits_agent(store: Store, machine: Json) -> bool:
    """
    Return whether the node agent runs on an own image: where another one was declared for it, it does not.

    Documented: nodes of an image on which the agent does not run become unusable.
    """
    image_id = machine["imageReference"].get(_PROPERTY)
    image = None if image_id is None else _version(store, image_id)
    wanted = None if image is None else image.declared.get("node_agent_sku")
    return wanted is None or str(wanted).lower() == machine["nodeAgentSKUId"].lower()


def _version(store: Store, image_id: str) -> Resource | None:
    """Return a managed image or a version of an image; documented: the newest, if the id names none."""
    found: Resource | None = store.resources.get(image_id)
    if found is None or found.kind.lower() != GALLERY_IMAGE.lower():
        return found
    below = f"{found.id}/versions/".lower()
    versions = [version for key, version in store.resources.after(below) if key.startswith(below)]

    def numbers(version: Resource) -> list[int]:
        return [int(part) if part.isdigit() else 0 for part in version.id.rpartition("/")[2].split(".")]

    return max(versions, key=numbers, default=None)


def _regions(image: Resource) -> set[str]:
    targets = image.properties.get("publishingProfile", {}).get("targetRegions", ())
    names = [image.location, *(str(target.get("name", "")) for target in targets)]
    return {name.lower().replace(" ", "") for name in names}
