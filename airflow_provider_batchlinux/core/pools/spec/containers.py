"""Containers on a pool's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.parameters.kinds import Flag, SecretText, Text
from airflow_provider_batchlinux.core.parameters.spec import Spec


@dataclass(frozen=True)
class RegistrySpec(Spec):
    """
    A registry from which images are pulled.

    .. code-block:: python

        ContainerSpec(
            registries=[RegistrySpec("etl.azurecr.io", "etl", "{{ conn.etl_registry.password }}")]
        )

    :param server: the registry's host; ``None`` is Docker Hub.
    :param username: the user's name; needs ``password``.
    :param password: the user's password.
    :param identity: the ARM id of a managed identity of the pool, instead of user and password.
    """

    server: str | None = None
    username: str | None = None
    password: SecretText | None = field(default=None, repr=False)
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
    A container engine on every node; the pool's image must contain one (such as ``"ubuntu-hpc 24.04"``).

    .. code-block:: python

        ContainerSpec(images=["python:3.12-slim"])

    :param images: container images that every node pulls before it accepts tasks.
    :param registries: private registries with their credentials.
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
    A directory of the node that is mounted into a container.

    .. code-block:: python

        shared = BindMountSpec("Shared", read_only=True)
        StartTaskSpec("ls", container=TaskContainerSpec("python:3.12-slim", bind_mounts=[shared]))

    :param source: ``Shared``, ``Startup``, ``VfsMounts``, ``Task``, ``JobPrep`` or ``Applications``.
    :param read_only: whether the container can only read it; ``None`` is the service's default, which is no.
    """

    source: Text
    read_only: Flag | None = None

    REST: ClassVar[Mapping[str, str]] = {"source": "source", "read_only": "isReadOnly"}


@dataclass(frozen=True)
class TaskContainerSpec(Spec):
    """
    The container in which a command or a start task runs.

    The pool needs a container engine: see :class:`ContainerSpec`. The image needs ``/bin/bash``.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="train",
            pool_id="gpu",
            command="python3 /app/train.py",
            container=TaskContainerSpec("etl.azurecr.io/train:7", run_options="--shm-size=8g"),
        )

    :param image: the container image.
    :param run_options: further options of ``docker create``.
    :param registry: where the image is pulled from, with a user or a managed identity of the pool, if the
        pool does not know it already.
    :param working_directory: ``taskWorkingDirectory`` or ``containerImageDefault``; ``None`` is the service's
        default, the former.
    :param bind_mounts: directories of the node that the container sees; empty for all of Batch's.
    """

    image: Text
    run_options: Text | None = None
    registry: RegistrySpec | Mapping[str, Any] | None = None
    working_directory: Text | None = None
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
