"""What properties of a pool rule out in each other, read off its REST body; imports only the stdlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.core.pools.formulas import formula_problems
from airflow_provider_batchlinux.core.pools.validation.network_rules import network_problems
from airflow_provider_batchlinux.core.pools.validation.node_rules import node_problems
from airflow_provider_batchlinux.core.pools.validation.validate import Path, Problem

__all__ = ["entra_only", "generation_for", "rule_problems"]

Body = Mapping[str, Any]

_MACHINE = "virtualMachineConfiguration"
_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")
_SECURITY = (_MACHINE, "securityProfile", "securityType")
_OS_DISK = (_MACHINE, "osDisk")


def rule_problems(body: Body, *, image: object = None) -> list[Problem]:
    """
    List what the service would refuse in a body whose properties are each fine by themselves.

    :param body: a body that passed ``read_shape``.
    :param image: the image as the user wrote it; ``None`` when the body holds it.
    """
    return [
        *_scale_problems(body),
        *node_problems(body),
        *network_problems(body),
        *_inter_node_problems(body),
        *_os_disk_problems(body),
        *_security_problems(body, image),
        *_encryption_problems(body),
        *_upgrade_problems(body),
    ]


def generation_for(body: Body) -> int | None:
    """Give the Hyper-V generation that the image has to have; ``None`` for either."""
    return 2 if _at(body, _SECURITY) else None


def entra_only(body: Body) -> list[Path]:
    """List the properties that the service takes only from callers with an Entra token."""
    network = ("networkConfiguration",)
    places: list[Path] = [
        (*network, "subnetId"),
        (*network, "publicIPAddressConfiguration", "ipAddressIds"),
        (_MACHINE, "imageReference", "virtualMachineImageId"),
    ]
    return [place for place in places if _at(body, place)]


def _at(body: Any, path: Path) -> Any:
    """Give what stands at a place of a body; ``None`` for nothing."""
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _scale_problems(body: Body) -> Iterator[Problem]:
    formula: Path = ("autoScaleFormula",)
    if not body.get("enableAutoScale"):
        for name in ("autoScaleFormula", "autoScaleEvaluationInterval"):
            if name in body:
                yield Problem((name,), " is for a pool that scales by itself; add enableAutoScale.")
        if not any(name in body for name in _TARGETS):
            yield Problem((_TARGETS[0],), " and {0} are missing; give at least one.", ((_TARGETS[1],),))
        return
    if "autoScaleFormula" not in body:
        yield Problem(formula, " is missing; a pool that scales by itself has one.")
    for name in (*_TARGETS, "resizeTimeout"):
        if name in body:
            yield Problem((name,), " cannot be given together with {0}, which sets the size.", (formula,))
    for says in formula_problems(body.get("autoScaleFormula", "$TargetDedicatedNodes = 0;")):
        yield Problem(formula, f" {says}")


def _inter_node_problems(body: Body) -> Iterator[Problem]:
    if body.get("enableInterNodeCommunication") and all(body.get(name, 0) > 0 for name in _TARGETS):
        yield Problem(
            ("enableInterNodeCommunication",),
            " goes with {0} or with {1}, not with both.",
            tuple((name,) for name in _TARGETS),
        )


def _os_disk_problems(body: Body) -> Iterator[Problem]:
    ephemeral: Path = (*_OS_DISK, "ephemeralOSDiskSettings")
    if _at(body, ephemeral) is not None and body.get(_TARGETS[1], 0) > 0:
        yield Problem(ephemeral, " does not go with {0}.", ((_TARGETS[1],),))


def _security_problems(body: Body, image: object) -> Iterator[Problem]:
    kind = _at(body, _SECURITY)
    uefi: Path = (_MACHINE, "securityProfile", "uefiSettings")
    if kind is None:
        for name in _at(body, uefi) or ():
            yield Problem((*uefi, name), " is for a node with {0}.", (_SECURITY,))
    if kind is not None and isinstance(image, str) and "gen1" in image.lower().replace("-", " ").split():
        yield Problem(_SECURITY, f"={kind!r} needs an image of generation 2, and image={image!r} asks for 1.")
    encryption: Path = (*_OS_DISK, "managedDisk", "securityProfile", "securityEncryptionType")
    if kind == "confidentialvm" and _at(body, encryption) is None:
        yield Problem(encryption, " is missing; {0}='confidentialvm' requires it.", (_SECURITY,))
    if kind != "confidentialvm" and _at(body, encryption) is not None:
        yield Problem(encryption, " is only for {0}='confidentialvm'.", (_SECURITY,))


def _encryption_problems(body: Body) -> Iterator[Problem]:
    base: Path = (_MACHINE, "diskEncryptionConfiguration")
    key, targets = (*base, "customerManagedKey"), (*base, "targets")
    given = _at(body, key)
    if given is None:
        return
    if "osdisk" not in (_at(body, targets) or ()):
        yield Problem(targets, " does not hold 'osdisk', which a key of one's own encrypts.")
    for name in ("keyUrl", "identityReference"):
        if name not in given:
            where: Path = (*key, name, *(("resourceId",) if name == "identityReference" else ()))
            yield Problem(where, " is missing; a key of one's own is read from Key Vault with an identity.")


def _upgrade_problems(body: Body) -> Iterator[Problem]:
    base: Path = ("upgradePolicy", "rollingUpgradePolicy")
    batch, unhealthy = (*base, "maxBatchInstancePercent"), (*base, "maxUnhealthyInstancePercent")
    if (_at(body, batch) or 0) > (_at(body, unhealthy) or 100):
        yield Problem(batch, f"={_at(body, batch)} is more than {{0}}={_at(body, unhealthy)}.", (unhealthy,))
    policy: Path = (_MACHINE, "nodePlacementConfiguration", "policy")
    if _at(body, (*base, "enableCrossZoneUpgrade")) is not None and _at(body, policy) != "zonal":
        yield Problem((*base, "enableCrossZoneUpgrade"), " is only for {0}='zonal'.", (policy,))
