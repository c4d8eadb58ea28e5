"""The user that a command runs as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from airflow_provider_batchlinux.core.parameters.spec import Spec


@dataclass(frozen=True)
class AutoUserSpec(Spec):
    """
    A user that the service creates on the node for a command.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="install",
            pool_id="etl",
            command="apt-get install --yes jq",
            run_as=AutoUserSpec(scope="task", elevation="admin"),
        )

    :param scope: ``pool`` is one user for all commands on a node; ``task`` is a user for this command alone,
        so that no other command can read its files.
    :param elevation: ``admin`` runs the command as root; ``nonadmin`` is an ordinary user.
    """

    scope: Literal["pool", "task"] = "pool"
    elevation: Literal["nonadmin", "admin"] = "nonadmin"

    REST: ClassVar[Mapping[str, str]] = {
        "scope": "autoUser.scope",
        "elevation": "autoUser.elevationLevel",
    }
