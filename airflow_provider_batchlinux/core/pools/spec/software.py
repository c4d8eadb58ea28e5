"""Application packages and extensions of a pool's nodes, and upgrades of their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.spec import Spec

_MACHINE = "virtualMachineConfiguration"


@dataclass(frozen=True)
class ApplicationPackageSpec(Spec):
    """
    An application package of the Batch account, installed on nodes.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="render",
            pool_id="etl",
            command="$AZ_BATCH_APP_PACKAGE_blender/blender --background scene.blend",
            application_packages=[ApplicationPackageSpec("blender")],
        )

    :param application_id: the complete ARM id of the application; for a command its name is enough.
    :param version: the version; ``None`` is the application's default version.
    """

    application_id: str
    version: str | None = None

    REST: ClassVar[Mapping[str, str]] = {"application_id": "applicationId", "version": "version"}


@dataclass(frozen=True)
class ExtensionSpec(Spec):
    """
    A virtual machine extension on every node.

    .. code-block:: python

        SoftwareSpec(
            extensions=[
                ExtensionSpec(
                    "monitor", "Microsoft.Azure.Monitor", "AzureMonitorLinuxAgent", automatic_upgrade=True
                )
            ]
        )

    :param name: the extension's name, unique in the pool.
    :param publisher: the publisher of the handler.
    :param type: the extension's type.
    :param version: the handler's version; ``None`` is the service's default.
    :param settings: public settings.
    :param protected_settings: secret settings.
    :param after: names of extensions that are installed before this one.
    :param auto_upgrade_minor_version: whether the newest minor version is used; ``None`` is the service's
        default.
    :param automatic_upgrade: whether the platform upgrades it automatically; ``None`` is the service's
        default.
    """

    name: str
    publisher: str
    type: str
    version: str | None = None
    settings: Mapping[str, Any] | None = None
    protected_settings: Mapping[str, Any] | None = field(default=None, repr=False)
    after: Sequence[str] = ()
    auto_upgrade_minor_version: bool | None = None
    automatic_upgrade: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "publisher": "publisher",
        "type": "type",
        "version": "typeHandlerVersion",
        "settings": "settings",
        "protected_settings": "protectedSettings",
        "after": "provisionAfterExtensions",
        "auto_upgrade_minor_version": "autoUpgradeMinorVersion",
        "automatic_upgrade": "enableAutomaticUpgrade",
    }


@dataclass(frozen=True)
class RollingUpgradeSpec(Spec):
    """
    The limits of an upgrade in batches; for each parameter ``None`` is the service's default.

    .. code-block:: python

        in_batches = RollingUpgradeSpec(max_batch_percent=20, pause=60)
        SoftwareSpec(upgrade=UpgradeSpec("rolling", rolling=in_batches))

    :param max_batch_percent: nodes that are upgraded at the same time, 5 to 100 percent, at most
        ``max_unhealthy_percent``.
    :param max_unhealthy_percent: nodes that may be unhealthy at the same time, 5 to 100 percent.
    :param max_unhealthy_upgraded_percent: upgraded nodes that may be unhealthy, 0 to 100 percent.
    :param pause: the time between two batches, as a duration or seconds.
    :param cross_zone: whether a batch may contain nodes of several zones; only with zonal placement.
    :param unhealthy_first: whether unhealthy nodes are upgraded first.
    :param rollback: whether failed nodes are rolled back when a limit is exceeded.
    """

    max_batch_percent: int | None = None
    max_unhealthy_percent: int | None = None
    max_unhealthy_upgraded_percent: int | None = None
    pause: timedelta | float | None = None
    cross_zone: bool | None = None
    unhealthy_first: bool | None = None
    rollback: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "max_batch_percent": "maxBatchInstancePercent",
        "max_unhealthy_percent": "maxUnhealthyInstancePercent",
        "max_unhealthy_upgraded_percent": "maxUnhealthyUpgradedInstancePercent",
        "pause": "pauseTimeBetweenBatches",
        "cross_zone": "enableCrossZoneUpgrade",
        "unhealthy_first": "prioritizeUnhealthyInstances",
        "rollback": "rollbackFailedInstancesOnPolicyBreach",
    }

    def to_rest(self) -> dict[str, Any]:
        """Return the part of the REST body."""
        body = super().to_rest()
        if isinstance(self.pause, (int, float)):
            body["pauseTimeBetweenBatches"] = iso8601_duration(self.pause)
        return body


@dataclass(frozen=True)
class UpgradeSpec(Spec):
    """
    The upgrades of the nodes to new versions of their image.

    .. code-block:: python

        SoftwareSpec(upgrade=UpgradeSpec("automatic", os_upgrade=True, os_deferral=True))

    :param mode: ``manual``, ``automatic`` (all nodes together) or ``rolling`` (in batches).
    :param os_upgrade: whether a new version of the image is installed automatically.
    :param os_rollback_disabled: whether nodes keep a version that failed.
    :param os_uses_rolling: whether an automatic upgrade uses ``rolling``.
    :param os_deferral: whether a node is upgraded only after its running tasks have ended.
    :param rolling: the limits of batches; ``None`` is the service's default.
    """

    mode: str
    os_upgrade: bool | None = None
    os_rollback_disabled: bool | None = None
    os_uses_rolling: bool | None = None
    os_deferral: bool | None = None
    rolling: RollingUpgradeSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "mode": "mode",
        "os_upgrade": "automaticOSUpgradePolicy.enableAutomaticOSUpgrade",
        "os_rollback_disabled": "automaticOSUpgradePolicy.disableAutomaticRollback",
        "os_uses_rolling": "automaticOSUpgradePolicy.useRollingUpgradePolicy",
        "os_deferral": "automaticOSUpgradePolicy.osRollingUpgradeDeferral",
        "rolling": "rollingUpgradePolicy",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {"rolling": (RollingUpgradeSpec,)}


@dataclass(frozen=True)
class SoftwareSpec(Spec):
    """
    The software of a pool's nodes besides the image and the start task, and upgrades of the image.

    .. code-block:: python

        SoftwareSpec(
            application_packages=[
                ApplicationPackageSpec(
                    "/subscriptions/1234/resourceGroups/data/providers/Microsoft.Batch/batchAccounts/etl"
                    "/applications/blender"
                )
            ],
            upgrade=UpgradeSpec("manual"),
        )

    :param application_packages: application packages of the account, at most 10.
    :param extensions: virtual machine extensions.
    :param service_artifact_id: the ARM id of a service artifact, which gives all nodes the same version of a
        gallery image whose version is ``latest``.
    :param upgrade: upgrades to new versions of the image; ``None`` is the service's default.
    """

    application_packages: Sequence[ApplicationPackageSpec | Mapping[str, Any]] = ()
    extensions: Sequence[ExtensionSpec | Mapping[str, Any]] = ()
    service_artifact_id: str | None = None
    upgrade: UpgradeSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "application_packages": "applicationPackageReferences",
        "extensions": f"{_MACHINE}.extensions",
        "service_artifact_id": f"{_MACHINE}.serviceArtifactReference.id",
        "upgrade": "upgradePolicy",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "application_packages": (ApplicationPackageSpec,),
        "extensions": (ExtensionSpec,),
        "upgrade": (UpgradeSpec,),
    }
