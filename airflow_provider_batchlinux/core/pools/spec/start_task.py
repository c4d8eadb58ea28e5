"""The start task, which every node runs when it boots, and the accounts that it and tasks can run as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_batchlinux.core.commands import MAX_COMMAND_SIZE, command_line, environment_settings
from airflow_provider_batchlinux.core.parameters.kinds import Environment, Flag, SecretText, Text
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.parameters.spec import Path


@dataclass(frozen=True)
class ResourceFileSpec(Spec):
    """
    A file, or the files of a storage container, that a node downloads before its start task.

    .. code-block:: python

        StartTaskSpec(
            "./setup.sh",
            resource_files=[ResourceFileSpec("{{ var.value.setup_url }}", path="setup.sh", mode="0755")],
        )

    :param http_url: the URL of one file; not shown, because it may contain a SAS token.
    :param container_url: the URL of a storage container; not shown, because it may contain a SAS token.
    :param auto_container: the name of a container in the storage account that belongs to the Batch account.
        Give exactly one of these three.
    :param blob_prefix: with a container, the prefix of the names of the blobs; ``None`` for all.
    :param path: the file's path, or with a container the directory's; relative to the working directory.
    :param mode: the file's permissions in octal; ``None`` is the service's default, ``0770``.
    :param identity: the ARM id of a managed identity of the pool that may read the storage.
    """

    http_url: str | None = field(default=None, repr=False)
    container_url: str | None = field(default=None, repr=False)
    auto_container: str | None = None
    blob_prefix: str | None = None
    path: str | None = None
    mode: str | None = None
    identity: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "http_url": "httpUrl",
        "container_url": "storageContainerUrl",
        "auto_container": "autoStorageContainerName",
        "blob_prefix": "blobPrefix",
        "path": "filePath",
        "mode": "fileMode",
        "identity": "identityReference.resourceId",
    }


@dataclass(frozen=True)
class UserAccountSpec(Spec):
    """
    A user account on every node, which tasks and the start task can run as.

    For people who log in by SSH see
    :class:`~airflow_provider_batchlinux.operators.node_users.BatchLinuxAddNodeUsersOperator`.

    .. code-block:: python

        UserAccountSpec("loader", password="{{ conn.loader.password }}", elevation="nonadmin")

    :param name: the account's name, at most 20 characters.
    :param password: its password.
    :param elevation: ``nonadmin`` or ``admin``; ``None`` is the service's default, ``nonadmin``.
    :param uid: its user id; ``None`` lets the system choose it. Needs ``gid``.
    :param gid: its group id; ``None`` lets the system choose it. Needs ``uid``.
    :param ssh_private_key: a private key without passphrase, with which the account can log in from node to
        node if inter-node communication is enabled.
    """

    name: str
    password: SecretText = field(repr=False)
    elevation: str | None = None
    uid: int | None = None
    gid: int | None = None
    ssh_private_key: SecretText | None = field(default=None, repr=False)

    REST: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "password": "password",
        "elevation": "elevationLevel",
        "uid": "linuxUserConfiguration.uid",
        "gid": "linuxUserConfiguration.gid",
        "ssh_private_key": "linuxUserConfiguration.sshPrivateKey",
    }


@dataclass(frozen=True)
class StartTaskSpec(Spec):
    """
    The command that every node runs at every boot, before it accepts tasks.

    .. code-block:: python

        StartTaskSpec("apt-get update && apt-get install -y jq", elevated=True, max_retries=2)

    :param command: a bash command; it must be idempotent, because it runs again after each reboot.
    :param elevated: run it as root, as the installation of packages needs.
    :param environment: environment variables; not shown, because they may contain secrets.
    :param max_retries: how often it is retried after a failure; -1 for without limit.
    :param user: one of the pool's user accounts to run it as, instead of an automatic user.
    :param user_scope: whether the automatic user is shared by the ``pool`` or created for each ``task``.
    :param wait_for_success: whether a node accepts tasks only after the command succeeded.
    :param resource_files: files to download first.
    :param container: the container to run it in; ``None`` runs it on the node itself.
    """

    command: Text
    elevated: Flag = False
    environment: Environment = field(default_factory=dict, repr=False)
    max_retries: int = 0
    user: str | None = None
    user_scope: str = "pool"
    wait_for_success: bool = True
    resource_files: Sequence[ResourceFileSpec | Mapping[str, Any]] = ()
    container: TaskContainerSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "command": "commandLine",
        "elevated": "userIdentity.autoUser.elevationLevel",
        "environment": "environmentSettings",
        "max_retries": "maxTaskRetryCount",
        "user": "userIdentity.username",
        "user_scope": "userIdentity.autoUser.scope",
        "wait_for_success": "waitForSuccess",
        "resource_files": "resourceFiles",
        "container": "containerSettings",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "resource_files": (ResourceFileSpec,),
        "container": (TaskContainerSpec,),
    }

    def to_rest(self) -> dict[str, Any]:
        """Return the part of the REST body."""
        line, carried = command_line(self.command)
        level = "admin" if self.elevated else "nonadmin"
        automatic = {"autoUser": {"scope": self.user_scope, "elevationLevel": level}}
        identity = automatic if self.user is None else {"username": self.user}
        body = {**super().to_rest(), "commandLine": line, "userIdentity": identity}
        settings = environment_settings({**self.environment, **carried})
        body.pop("environmentSettings", None)
        return {**body, "environmentSettings": settings} if settings else body

    def name_of(self, path: Path) -> str | None:
        """Return the field that defines a place of the REST body."""
        if path[:1] == ("environmentSettings",):
            return "environment"
        return super().name_of(path)

    def problems(self) -> list[str]:
        """List the problems that the REST body does not show."""
        found = []
        if not isinstance(self.command, str) or not self.command.strip():
            found.append("start_task has an empty command; leave start_task out for none.")
        elif len(self.command.encode()) > MAX_COMMAND_SIZE:
            limit = f"{MAX_COMMAND_SIZE} bytes"
            found.append(f"start_task is longer than {limit}; fetch the program in it instead.")
        if self.user is not None and self.elevated:
            found.append(
                "start_task.elevated is for the automatic user; give the user's own elevation instead."
            )
        return found
