"""Containers on a pool's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.parameters.spec import Spec


@dataclass(frozen=True)
class RegistrySpec(Spec):
    """
    A registry that images are pulled from.

    :param server: its host; ``None`` is Docker's own.
    :param username: the user, with ``password``.
    :param password: the user's password.
    :param identity: the ARM id of a managed identity of the pool, instead of user and password.
    """

    server: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    identity: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "server": "registryServer",
        "username": "username",
        "password": "password",
        "identity": "identityReference.resourceId",
    }


@dataclass(frozen=True)
class ContainerSpec(Spec):
    """
    A container engine on every node; the image of the pool has to have one (such as ``"ubuntu-hpc 22.04"``).

    :param images: container images that every node pulls before it takes work.
    :param registries: private registries, with how to log in.
    :param engine: ``dockerCompatible`` or ``criCompatible``.
    """

    images: Sequence[str] = ()
    registries: Sequence[RegistrySpec | Mapping[str, Any]] = ()
    engine: str = "dockerCompatible"

    REST: ClassVar[Mapping[str, str]] = {
        "images": "containerImageNames",
        "registries": "containerRegistries",
        "engine": "type",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {"registries": (RegistrySpec,)}


@dataclass(frozen=True)
class BindMountSpec(Spec):
    """
    A directory of the node that a container sees.

    :param source: ``Shared``, ``Startup``, ``VfsMounts``, ``Task``, ``JobPrep`` or ``Applications``.
    :param read_only: whether the container may only read it; ``None`` is the service's default, which is no.
    """

    source: str
    read_only: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {"source": "source", "read_only": "isReadOnly"}


@dataclass(frozen=True)
class TaskContainerSpec(Spec):
    """
    The container that a start task runs in.

    :param image: the container image.
    :param run_options: further options of ``docker create``.
    :param registry: where the image is pulled from, if the pool does not know it already.
    :param working_directory: ``taskWorkingDirectory`` or ``containerImageDefault``; ``None`` is the service's
        default, the former.
    :param bind_mounts: directories of the node that the container sees; empty for all of Batch's.
    """

    image: str
    run_options: str | None = None
    registry: RegistrySpec | Mapping[str, Any] | None = None
    working_directory: str | None = None
    bind_mounts: Sequence[BindMountSpec | Mapping[str, Any]] = ()

    REST: ClassVar[Mapping[str, str]] = {
        "image": "imageName",
        "run_options": "containerRunOptions",
        "registry": "registry",
        "working_directory": "workingDirectory",
        "bind_mounts": "containerHostBatchBindMounts",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "registry": (RegistrySpec,),
        "bind_mounts": (BindMountSpec,),
    }
