"""
The meaning of a pool's REST body: its values in one spelling, without what the service adds.

Two bodies with the same meaning give the same pool, however they are written.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_batchlinux.core.ids import fingerprint
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.instants import duration_seconds
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.core.pools.validation.schema import POOL, is_returned, properties_of
from airflow_provider_batchlinux.core.vm_sizes.query import VmSizeQuery

FINGERPRINT_VERSION = "v2:"
"""What a fingerprint begins with. A fingerprint of another form was written by another release."""

_MACHINE = "virtualMachineConfiguration"
_BY_IMAGE = ("imageReference", "nodeAgentSKUId")
_RULE = "NetworkSecurityGroupRule"
# Priorities are compared as text, so they get leading zeros: 150 before 1000.
_PRIORITY_DIGITS = 10

# What the service adds to a pool that does not say it: recorded, or by its specification the default.
_DEFAULTS: Mapping[tuple[str, ...], Any] = {
    ("autoScaleEvaluationInterval",): 900.0,
    ("enableAutoScale",): False,
    ("enableInterNodeCommunication",): False,
    ("networkConfiguration", "dynamicVNetAssignmentScope"): "none",
    ("networkConfiguration", "enableAcceleratedNetworking"): False,
    (
        "networkConfiguration",
        "endpointConfiguration",
        "inboundNATPools",
        "networkSecurityGroupRules",
        "sourcePortRanges",
    ): ("*",),
    ("networkConfiguration", "publicIPAddressConfiguration", "ipFamilies"): ("ipv4",),
    ("networkConfiguration", "publicIPAddressConfiguration", "provision"): "batchmanaged",
    ("resizeTimeout",): 900.0,
    ("startTask", "containerSettings", "containerHostBatchBindMounts", "isReadOnly"): False,
    ("startTask", "containerSettings", "registry", "registryServer"): "docker.io",
    ("startTask", "containerSettings", "workingDirectory"): "taskworkingdirectory",
    ("startTask", "maxTaskRetryCount"): 0,
    ("startTask", "resourceFiles", "fileMode"): "770",
    ("startTask", "userIdentity", "autoUser", "elevationLevel"): "nonadmin",
    ("startTask", "userIdentity", "autoUser", "scope"): "pool",
    ("startTask", "waitForSuccess"): True,
    ("targetDedicatedNodes",): 0,
    ("targetLowPriorityNodes",): 0,
    ("taskSchedulingPolicy", "jobDefaultOrder"): "none",
    ("taskSchedulingPolicy", "nodeFillType"): "spread",
    ("taskSlotsPerNode",): 1,
    ("upgradePolicy", "automaticOSUpgradePolicy", "disableAutomaticRollback"): False,
    ("upgradePolicy", "automaticOSUpgradePolicy", "enableAutomaticOSUpgrade"): False,
    ("upgradePolicy", "automaticOSUpgradePolicy", "osRollingUpgradeDeferral"): False,
    ("upgradePolicy", "automaticOSUpgradePolicy", "useRollingUpgradePolicy"): False,
    ("userAccounts", "elevationLevel"): "nonadmin",
    (_MACHINE, "containerConfiguration", "containerRegistries", "registryServer"): "docker.io",
    # The specification says readwrite; the service answers none (recorded in 2025 and 2026).
    (_MACHINE, "dataDisks", "caching"): "none",
    (_MACHINE, "dataDisks", "managedDisk", "storageAccountType"): "standard_lrs",
    (_MACHINE, "diskEncryptionConfiguration", "customerManagedKey", "rotationToLatestKeyVersionEnabled"): (
        False
    ),
    (_MACHINE, "extensions", "enableAutomaticUpgrade"): False,
    (_MACHINE, "imageReference", "version"): "latest",
    (_MACHINE, "nodePlacementConfiguration", "policy"): "regional",
    (_MACHINE, "osDisk", "caching"): "none",
    (_MACHINE, "osDisk", "managedDisk", "storageAccountType"): "standard_lrs",
    (_MACHINE, "osDisk", "writeAcceleratorEnabled"): False,
    (_MACHINE, "securityProfile", "encryptionAtHost"): False,
    (_MACHINE, "securityProfile", "proxyAgentSettings", "enabled"): False,
}

# Names that Azure compares without regard to letter case.
_CASELESS: Mapping[str, frozenset[str]] = {
    POOL: frozenset({"vmSize"}),
    "BatchApplicationPackageReference": frozenset({"applicationId", "version"}),
    "BatchNodeIdentityReference": frozenset({"resourceId"}),
    "BatchPoolIdentityReference": frozenset({"resourceId"}),
    "BatchPublicIpAddressConfiguration": frozenset({"ipAddressIds"}),
    "BatchVmImageReference": frozenset(
        {
            "publisher",
            "offer",
            "sku",
            "version",
            "virtualMachineImageId",
            "sharedGalleryImageId",
            "communityGalleryImageId",
        }
    ),
    "ContainerRegistryReference": frozenset({"registryServer"}),
    "DiskEncryptionSetParameters": frozenset({"id"}),
    "HostEndpointSettings": frozenset({"inVMAccessControlProfileReferenceId"}),
    "NetworkConfiguration": frozenset({"subnetId"}),
    "ServiceArtifactReference": frozenset({"id"}),
    "VMExtension": frozenset({"name", "provisionAfterExtensions", "publisher", "type"}),
    "VirtualMachineConfiguration": frozenset({"nodeAgentSKUId"}),
}

# By which an entry of a list is recognised, whatever its position.
_KEYS: Mapping[str, str] = {
    "BatchApplicationPackageReference": "applicationId",
    "BatchInboundNatPool": "name",
    "BatchMetadataItem": "name",
    "ContainerHostBatchBindMountEntry": "source",
    "ContainerRegistryReference": "registryServer",
    "DataDisk": "lun",
    "EnvironmentSetting": "name",
    "IPTag": "ipTagType",
    "ResourceFile": "filePath",
    "UserAccount": "name",
    "VMExtension": "name",
}

Places = tuple[tuple[str, str], ...]
"""Names on the way to a value, each with the key of its entry in a list; empty for no list."""


@dataclass(frozen=True)
class Leaf:
    """
    A value of a body.

    :param is_secret: whether no message may show it.
    :param is_returned: whether the service returns it, so that it can be compared.
    :param is_unknown: whether the schema does not contain it.
    """

    value: Any
    is_secret: bool = False
    is_returned: bool = True
    is_unknown: bool = False


def meaning_of(body: Mapping[str, Any]) -> dict[Places, Leaf]:
    """
    Return the values of a pool's body in one spelling, by their places.

    The meaning does not contain the id and the provider's marks in the metadata. Identities and tags, which a
    body of the data plane cannot contain, are ignored, too.
    """
    kept = {name: value for name, value in body.items() if name not in ("id", "identity", "tags")}
    kept["metadata"] = [
        item
        for item in body.get("metadata") or ()
        if not (isinstance(item, Mapping) and str(item.get("name")).lower().startswith(METADATA_PREFIX))
    ]
    return dict(_leaves(POOL, kept))


def pool_fingerprint(
    body: Mapping[str, Any],
    *,
    image: Any,
    vm_size: Any,
    identities: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> str:
    """
    Digest the meaning of a requested pool.

    The image and the VM size count as they were requested, not as they were resolved: a new image in the
    service's list does not make a retry's pool another one.

    :param body: the body that creates it.
    :param image: the image as the user wrote it.
    :param vm_size: the VM size or sizes as the user wrote them.
    :param identities: ARM ids of its managed identities.
    :param tags: its tags.
    """
    resolved = {"vmSize", *((_MACHINE, name) for name in _BY_IMAGE)}
    values = {
        json.dumps(place): leaf.value
        for place, leaf in meaning_of(body).items()
        if not resolved & {place[0][0], tuple(name for name, _ in place[:2])}
    }
    asked = {
        "id": str(body.get("id")).lower(),
        "image": _read(lambda value: ImageQuery.parse(value).meaning, image),
        "vm_size": _read(lambda value: VmSizeQuery.parse(value).meaning, vm_size),
        "identities": sorted({str(name).lower() for name in identities}),
        "tags": {str(name).lower(): str(value) for name, value in (tags or {}).items()},
    }
    return FINGERPRINT_VERSION + fingerprint({**asked, "values": values})


def place_name(place: Places) -> str:
    """Return a place as messages show it, such as ``startTask.environmentSettings['A'].value``."""
    return ".".join(f"{part}[{key}]" if key else part for part, key in place)


def _leaves(model: str, value: object, path: Places = ()) -> Iterator[tuple[Places, Leaf]]:
    if not isinstance(value, Mapping):
        return
    kinds = properties_of(model) or {}
    for name in [*kinds, *(name for name in value if name not in kinds)]:
        if value.get(name) is None:
            continue
        place = (*path, (name, ""))
        if name in kinds:
            yield from _leaves_of(model, kinds[name], value[name], place)
        else:
            # An unknown property may contain anything, also a secret.
            text = json.dumps(value[name], sort_keys=True, default=str)
            yield place, Leaf(text, is_secret=True, is_returned=False, is_unknown=True)


def _leaves_of(model: str, kind: str, value: Any, path: Places) -> Iterator[tuple[Places, Leaf]]:
    part, (name, _) = kind.strip("[]"), path[-1]
    is_model = properties_of(part) is not None
    if is_model and kind.startswith("["):
        for key, entry in _entries(part, value):
            yield from _leaves(part, entry, (*path[:-1], (name, key)))
    elif is_model:
        yield from _leaves(part, value, path)
    else:
        read = _normal(model, name, value)
        if read != _DEFAULTS.get(tuple(step for step, _ in path)) and read not in ("", ()):
            is_secret = part.startswith("secret")
            yield path, Leaf(read, is_secret, not is_secret or is_returned(model, name))


def _entries(model: str, entries: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a list, each with the key by which it is recognised in another list."""
    keyed = _rules(entries) if model == _RULE else ((_key_of(model, entry), entry) for entry in entries)
    taken: Counter[str] = Counter()
    for key, entry in keyed:
        # Entries without a key, and those with the same key, are compared in their order.
        number, taken[key] = taken[key], taken[key] + 1
        yield (f"{key} {number}" if key and number else key or str(number)), entry


def _key_of(model: str, entry: object) -> str:
    parts = entry if isinstance(entry, Mapping) else {}
    if model == "MountConfiguration":
        paths = [kind.get("relativeMountPath") for kind in parts.values() if isinstance(kind, Mapping)]
        return repr(str(paths[0]).strip("/")) if paths else ""
    name = _KEYS.get(model)
    return "" if name is None or parts.get(name) is None else repr(str(_normal(model, name, parts[name])))


def _rules(rules: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """
    Yield the rules of a network security group without their priorities, which only order them.

    The first rule that matches decides, so the order of neighbours with the same access does not matter.
    """
    known = [rule for rule in rules if isinstance(rule, Mapping)]
    ordered = sorted(known, key=lambda rule: str(rule.get("priority")).zfill(_PRIORITY_DIGITS))
    for step, (access, same) in enumerate(groupby(ordered, lambda rule: str(rule.get("access")).lower()), 1):
        for rule in sorted(same, key=lambda rule: json.dumps(rule.get("sourcePortRanges"), default=str)):
            source = _normal(_RULE, "sourceAddressPrefix", rule.get("sourceAddressPrefix"))
            yield repr(f"{step}. {access} {source}"), {**rule, "priority": None}


def _normal(model: str, name: str, value: Any) -> Any:
    """Return a value in the spelling in which values with the same meaning are equal."""
    if isinstance(value, (list, tuple)):
        return tuple(sorted({_normal(model, name, item) for item in value}))
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    kind, text = (properties_of(model) or {})[name].strip("[]"), str(value)
    if name == "storageAccountType":
        # The data plane writes standard_lrs, other tools StandardLRS.
        return re.sub("_?(lrs|zrs)$", r"_\1", text.lower())
    if "|" in kind or name in _CASELESS.get(model, ()):
        return text.lower()
    if kind == "bool":
        return text.lower() == "true"
    read = _SPELLINGS.get(name) or _SPELLINGS.get(kind)
    return text if read is None else _read(read, text)


def _read(read: Callable[[Any], Any], value: Any) -> Any:
    """Return a value as read; unchanged if it is wrong, because its problem is reported elsewhere."""
    try:
        found = read(value)
    except ValueError:
        found = None
    return value if found is None else found


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text.lower()


def _url(text: str) -> str:
    parts = urlsplit(text)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl()


_SPELLINGS: Mapping[str, Callable[[str], Any]] = {
    "azureFileUrl": _url,
    "duration": duration_seconds,
    "fileMode": lambda text: f"{int(text, 8):o}",
    "httpUrl": _url,
    "int": int,
    "keyUrl": _url,
    "relativeMountPath": lambda text: text.strip("/"),
    "sourceAddressPrefix": _network,
    "storageContainerUrl": _url,
}
