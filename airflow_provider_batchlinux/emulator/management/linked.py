"""Networks, security groups, public IP addresses and images, as far as pools depend on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from typing import Any

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.account.linked import KINDS, LinkedResources
from airflow_provider_batchlinux.emulator.management.arm import ArmAnswer, ArmCall, ArmError, not_found
from airflow_provider_batchlinux.emulator.protocol.azure_ids import (
    GALLERY_VERSION,
    NETWORK,
    SECURITY_GROUP,
    SUBNET,
    kind_of,
)
from airflow_provider_batchlinux.emulator.rules.networks import usage_of
from airflow_provider_batchlinux.emulator.state.records import Json, Resource

_BY_KIND = {kind.lower(): kind for kind in KINDS}
_TEXTS = [str]
_SUBNET = {
    "addressPrefix": str,
    "addressPrefixes": _TEXTS,
    "networkSecurityGroup": {"id": str},
    "delegations": [dict],
}
_RULE = {
    "direction": str,
    "access": str,
    "protocol": str,
    "priority": int,
    "destinationPortRange": str,
    "destinationPortRanges": _TEXTS,
    "destinationAddressPrefix": str,
    "destinationAddressPrefixes": _TEXTS,
    "sourceAddressPrefix": str,
    "sourceAddressPrefixes": _TEXTS,
}
_SHAPES: Mapping[str, Mapping[str, Any]] = {
    NETWORK: {"subnets": [{"name": str, "properties": _SUBNET}]},
    SUBNET: _SUBNET,
    SECURITY_GROUP: {"securityRules": [{"name": str, "properties": _RULE}]},
    GALLERY_VERSION: {"publishingProfile": {"targetRegions": [{"name": str}]}},
}
"""The properties that are read, with their types: a list has one for its items, a mapping for its values."""


class ManagedResources:
    """The resources of other providers. Their properties are kept as they are given; few are read."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account

    @property
    def _linked(self) -> LinkedResources:
        return self._account.service.linked

    def put(self, call: ArmCall) -> ArmAnswer:
        """Answer PUT of a resource."""
        kind, body = _BY_KIND[kind_of(call.path)], call.read()
        properties = dict(body.get("properties") or {})
        if not _has_shape(properties, _SHAPES.get(kind, {})):
            raise ArmError(400, "InvalidRequestFormat", "Cannot parse the request.")
        parent = self._parent(call.path, kind)
        location = body.get("location") or (None if parent is None else parent.location)
        if not isinstance(location, str):
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        subnets = properties.pop("subnets", ()) if kind == NETWORK else ()
        for each in (properties,) if kind == SUBNET else (subnet.get("properties", {}) for subnet in subnets):
            _check_subnet(each)
        is_new = self._account.service.store.resources.get(call.path) is None
        made = self._linked.put(kind, call.path, properties, call.now, location=location)
        for subnet in subnets:
            subnet_id = f"{call.path}/subnets/{subnet.get('name', 'default')}"
            self._linked.put(SUBNET, subnet_id, subnet["properties"], call.now, location=location)
        return ArmAnswer(201 if is_new else 200, self._view(made))

    def get(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of a resource, or of all of a type."""
        if kind_of(f"{call.path}/x") in _BY_KIND:
            prefix = f"{call.path}/".lower()
            found = self._account.service.store.resources.after(prefix)
            rows = [each for key, each in found if key.startswith(prefix) and "/" not in key[len(prefix) :]]
            return ArmAnswer(200, {"value": [self._view(each) for each in rows]})
        return ArmAnswer(200, self._view(self._found(call.path)))

    def delete(self, call: ArmCall) -> ArmAnswer:
        """Answer DELETE of a resource."""
        if self._account.service.store.resources.get(call.path) is None:
            return ArmAnswer(204)
        self._linked.delete(call.path)
        return ArmAnswer(200)

    def usages(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of the usages of a virtual network: the addresses in its subnets."""
        store, rows = self._account.service.store, []
        network_id = call.path.removesuffix("/usages")
        if store.resources.get(network_id) is None:
            name = network_id.rpartition("/")[2]
            raise not_found(code="ResourceNotFound", what=f"Virtual network '{name}'")
        for subnet in self._linked.below(network_id):
            limit, used = usage_of(store, subnet)
            rows.append(
                {
                    "id": subnet.id,
                    "currentValue": used,
                    "limit": limit,
                    "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
                    "unit": "Count",
                }
            )
        return ArmAnswer(200, {"value": rows})

    def _found(self, resource_id: str) -> Resource:
        found: Resource | None = self._account.service.store.resources.get(resource_id)
        if found is None:
            raise not_found(code="ResourceNotFound", what=f"The resource '{resource_id}'")
        return found

    def _parent(self, resource_id: str, kind: str) -> Resource | None:
        if KINDS[kind] is None:
            return None
        parent = resource_id.rsplit("/", 2)[0]
        found: Resource | None = self._account.service.store.resources.get(parent)
        if found is None:
            raise not_found(code="ParentResourceNotFound", what=f"The parent resource '{parent}'")
        return found

    def _view(self, found: Resource) -> dict[str, Any]:
        properties: dict[str, Any] = {**found.properties, "provisioningState": "Succeeded"}
        if found.kind == NETWORK:
            properties["subnets"] = [self._view(subnet) for subnet in self._linked.below(found.id)]
        return {
            "id": found.id,
            "name": found.id.rpartition("/")[2],
            "type": found.kind,
            "etag": f'W/"{found.version.etag}"',
            **({} if found.kind == SUBNET else {"location": found.location}),
            "properties": properties,
        }


def _has_shape(value: Any, shape: Any) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has_shape(item, shape[0]) for item in value)
    if isinstance(shape, Mapping):
        return isinstance(value, Mapping) and all(
            _has_shape(value[name], inner) for name, inner in shape.items() if name in value
        )
    return isinstance(value, shape)


def _check_subnet(properties: Json) -> None:
    given = properties.get("addressPrefix") or next(iter(properties.get("addressPrefixes", ())), "none")
    try:
        IPv4Network(given)
    except ValueError:
        sentence = f"Address prefix {given} is not a valid IPv4 prefix of a subnet."
        raise ArmError(400, "InvalidCIDRNotation", sentence) from None


Answer = Callable[[ManagedResources, ArmCall], ArmAnswer]
HANDLERS: Mapping[str, Answer] = {
    "PUT": ManagedResources.put,
    "GET": ManagedResources.get,
    "DELETE": ManagedResources.delete,
}


def _path(kind: str) -> str:
    provider, *types = kind.split("/")
    parts = "".join(f"/{type_}/{{r{at}}}" for at, type_ in enumerate(types))
    return f"/subscriptions/{{s}}/resourceGroups/{{g}}/providers/{provider}{parts}"


ROUTES: tuple[tuple[str, str, Answer], ...] = (
    *((method, _path(kind), answer) for kind in KINDS for method, answer in HANDLERS.items()),
    *(("GET", _path(kind).rpartition("/")[0], ManagedResources.get) for kind in KINDS),
    ("GET", f"{_path(NETWORK)}/usages", ManagedResources.usages),
)
"""Methods, paths, and what answers them."""
