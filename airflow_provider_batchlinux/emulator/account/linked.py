"""Resources of Azure that pools can name: creates, changes and deletes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.azure_ids import (
    GALLERY,
    GALLERY_IMAGE,
    GALLERY_VERSION,
    MANAGED_IMAGE,
    NETWORK,
    PUBLIC_ADDRESS,
    SECURITY_GROUP,
    SUBNET,
    AccountPlace,
)
from airflow_provider_batchlinux.emulator.rules.networks import RESERVED
from airflow_provider_batchlinux.emulator.state.records import Json, Resource
from airflow_provider_batchlinux.emulator.state.store import Store

KINDS: Mapping[str, str | None] = {
    NETWORK: None,
    SUBNET: NETWORK,
    SECURITY_GROUP: None,
    PUBLIC_ADDRESS: None,
    MANAGED_IMAGE: None,
    GALLERY: None,
    GALLERY_IMAGE: GALLERY,
    GALLERY_VERSION: GALLERY_IMAGE,
}
"""The types of resources, and the type of the resource that each is part of."""
_NO_BATCH = {
    "direction": "Outbound",
    "access": "Deny",
    "priority": 100,
    "protocol": "*",
    "destinationPortRange": "*",
    "destinationAddressPrefix": "*",
}
_SSH = {
    "direction": "Inbound",
    "access": "Allow",
    "priority": 200,
    "protocol": "Tcp",
    "destinationPortRange": "22",
    "sourceAddressPrefix": "*",
}


class LinkedResources:
    """The resources in the resource group of the account."""

    def __init__(self, store: Store, place: AccountPlace) -> None:
        self._store = store
        self._place = place

    def put(
        self,
        kind: str,
        resource_id: str,
        properties: Json,
        now: datetime,
        *,
        location: str,
        declared: Json | None = None,
    ) -> Resource:
        """Create a resource, or replace it."""
        version = self._store.next_version(now)
        record = Resource(resource_id, kind, version, location, properties, declared or {})
        return self._store.resources.put(resource_id, record)

    def below(self, resource_id: str) -> Iterator[Resource]:
        """Return the resources that are parts of one, also indirectly."""
        prefix = f"{resource_id.lower()}/"
        for key, found in self._store.resources.after(prefix):
            if not key.startswith(prefix):
                return
            yield found

    def delete(self, resource_id: str) -> None:
        """Delete a resource with its parts."""
        for found in list(self.below(resource_id)):
            self._store.resources.pop(found.id)
        self._store.resources.pop(resource_id)

    def declare_subnet(self, given: Mapping[str, Any], now: datetime) -> str:
        """Create a subnet with its network as the control plane declares it, and return its id."""
        network, subnet = given["network"], given["subnet"]
        location = given["location"] or self._place.location
        network_id = self._place.id_of(NETWORK, network)
        if self._store.resources.get(network_id) is None:
            self.put(NETWORK, network_id, {}, now, location=location)
        properties: dict[str, Any] = {"addressPrefix": str(_prefix(given["prefix"], given["limit"]))}
        rules = [
            *([{"name": "no-batch", "properties": _NO_BATCH}] if given["denies_batch"] else ()),
            *([{"name": "ssh", "properties": _SSH}] if not given["denies_ssh"] else ()),
        ]
        if given["denies_batch"] or given["denies_ssh"]:
            group = self._place.id_of(SECURITY_GROUP, f"{network}-{subnet}")
            self.put(SECURITY_GROUP, group, {"securityRules": rules}, now, location=location)
            properties["networkSecurityGroup"] = {"id": group}
        if given["is_delegated"]:
            service = {"serviceName": "Microsoft.ContainerInstance/containerGroups"}
            properties["delegations"] = [{"name": "delegation", "properties": service}]
        declared = {name: given[name] for name in ("limit", "used", "denied_to")}
        subnet_id = self._place.id_of(SUBNET, network, subnet)
        self.put(SUBNET, subnet_id, properties, now, location=location, declared=declared)
        return subnet_id

    def declare_public_address(self, given: Mapping[str, Any], now: datetime) -> str:
        """Create a public IP address, and return its id."""
        resource_id = self._place.id_of(PUBLIC_ADDRESS, given["name"])
        location = given["location"] or self._place.location
        declared = {"denied_to": given["denied_to"]}
        self.put(PUBLIC_ADDRESS, resource_id, {}, now, location=location, declared=declared)
        return resource_id

    def declare_image(self, given: Mapping[str, Any], now: datetime) -> str:
        """Create a managed image, or a version of an image in a gallery, and return its id."""
        location = given["location"] or self._place.location
        traits = {
            "hyperVGeneration": f"V{given['generation']}",
            "architecture": given["architecture"],
            "osType": "Linux",
        }
        declared = {name: given[name] for name in ("node_agent_sku", "denied_to")}
        if given["gallery"] is None:
            image_id = self._place.id_of(MANAGED_IMAGE, given["name"])
            self.put(MANAGED_IMAGE, image_id, traits, now, location=location, declared=declared)
            return image_id
        names = given["gallery"], given["name"]
        self.put(GALLERY, self._place.id_of(GALLERY, names[0]), {}, now, location=location)
        self.put(GALLERY_IMAGE, self._place.id_of(GALLERY_IMAGE, *names), traits, now, location=location)
        version_id = self._place.id_of(GALLERY_VERSION, *names, given["version"])
        self.put(GALLERY_VERSION, version_id, {}, now, location=location, declared=declared)
        return version_id


def _prefix(prefix: str | None, limit: int | None) -> IPv4Network:
    """Return the address range of a subnet; without one, a range with room for its addresses."""
    if prefix is not None:
        return IPv4Network(prefix)
    wanted = 256 if limit is None else limit + RESERVED
    return IPv4Network(f"10.0.0.0/{max(8, 32 - (wanted - 1).bit_length())}")
