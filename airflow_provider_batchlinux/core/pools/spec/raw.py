"""A pool as a REST body defines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.images.resolve import ResolvedImage
from airflow_provider_batchlinux.core.parameters.spec import Path
from airflow_provider_batchlinux.core.pool_metadata import reserved_names
from airflow_provider_batchlinux.core.pools.changes.meaning import pool_fingerprint
from airflow_provider_batchlinux.core.pools.spec.management import identity_problems, tag_problems
from airflow_provider_batchlinux.core.pools.validation.rules import generation_for, rule_problems
from airflow_provider_batchlinux.core.pools.validation.schema import (
    Problem,
    hidden_body,
    read_body,
    rest_name,
)

_MACHINE = "virtualMachineConfiguration"
_AGENT = "nodeAgentSKUId"
_UNRESOLVED = "unresolved"


@dataclass(frozen=True)
class RawPool:
    """
    A pool defined by its REST body of version 2025-06-01.

    The image may be a name, as for the parameter ``image`` of the create operator: in the body instead of
    ``imageReference``, or outside the body.

    :param body: the body; not shown, because it may contain secrets.
    :param pool_id: the pool's id; equal to the body's id if that has one.
    :param image_beside: the image, if the body has none.
    :param identities: ARM ids of managed identities of the nodes, which are no part of the body.
    :param tags: Azure tags of the pool's resources, which are no part of the body.
    """

    body: Mapping[str, Any] = field(repr=False)
    pool_id: str
    image_beside: str | Mapping[str, Any] | None = None
    identities: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str | Mapping[str, Any] | None:
        """The image as the user wrote it; ``None`` without one."""
        machine = self._machine()
        reference = machine.get("imageReference")
        if isinstance(reference, Mapping) and machine.get(_AGENT):
            return {**reference, "node_agent_sku": machine[_AGENT]}
        return self.image_beside if reference is None else reference

    @property
    def vm_size(self) -> str:
        """The VM size of every node."""
        return str(self.body.get("vmSize") or "")

    @property
    def subnet_id(self) -> str | None:
        """The ARM id of the subnet of the nodes; ``None`` without one."""
        network = self.body.get("networkConfiguration")
        return network.get("subnetId") if isinstance(network, Mapping) else None

    @property
    def generation(self) -> int | None:
        """The Hyper-V generation that the image must have; ``None`` for any."""
        return generation_for(self._read()[0])

    def problems(self) -> list[str]:
        """List what is wrong with the pool."""
        body, found = self._read()
        certain = [problem for problem in found if not problem.is_unknown and problem.path[:1] != ("id",)]
        problems = [problem.message(_name_of) for problem in certain or rule_problems(body, image=self.image)]
        if self.image is None:
            problems.append(f"body.{_MACHINE}.imageReference is missing; write it there or give image.")
        elif self.image_beside is not None and self._machine().get("imageReference") is not None:
            problems.append(
                f"image and body.{_MACHINE}.imageReference are both given; leave out one of them."
            )
        if self.body.get("id", self.pool_id) != self.pool_id:
            problems.append(f"pool_id={self.pool_id!r} and body.id={self.body['id']!r} differ.")
        beside = [*identity_problems(self.identities), *tag_problems(self.tags)]
        names = [item.get("name", "") for item in body.get("metadata", ()) if isinstance(item, Mapping)]
        reserved = reserved_names("body.metadata", names)
        return [*id_problems("pool_id", self.pool_id), *problems, *reserved, *beside]

    def warnings(self) -> list[str]:
        """List the unknown properties and values, which are sent as they are."""
        return [problem.message(_name_of) for problem in self._read()[1] if problem.is_unknown]

    def fingerprint(self) -> str:
        """Return a digest of the requested pool, by which a retry recognises its own pool."""
        return pool_fingerprint(
            self._read()[0],
            image=self.image,
            vm_size=self.vm_size,
            identities=self.identities,
            tags=self.tags,
        )

    def to_rest(self, image: ResolvedImage | None = None, *, vm_size: str | None = None) -> dict[str, Any]:
        """
        Return the body that creates the pool.

        :param image: the resolved :attr:`image`; ``None`` if it is not resolved yet.
        :param vm_size: the VM size of every node; ``None`` for that of the body.
        """
        body, _ = self._read()
        machine = dict(body[_MACHINE])
        if image is not None:
            machine |= {"imageReference": dict(image.reference), _AGENT: image.node_agent_sku}
        chosen = {} if vm_size is None else {"vmSize": vm_size}
        return {**body, **chosen, "id": self.pool_id, _MACHINE: machine}

    def secrets(self) -> set[str]:
        """Return the passwords, keys and URLs to mask."""
        found: set[str] = set()
        hidden_body(self.body, found)
        return found

    def name_of(self, path: Path) -> str:
        """Return the name of a place of the body in messages."""
        return _name_of(path)

    def _machine(self) -> Mapping[str, Any]:
        machine = self.body.get(_MACHINE)
        return machine if isinstance(machine, Mapping) else {}

    def _read(self) -> tuple[dict[str, Any], list[Problem]]:
        # These properties are filled in when the image is resolved, so they are not required before.
        machine = self.body.get(_MACHINE, {})
        if isinstance(machine, Mapping):
            machine = {**machine, _AGENT: machine.get(_AGENT) or _UNRESOLVED}
            if not isinstance(machine.get("imageReference"), Mapping):
                machine["imageReference"] = {}
        return read_body({**self.body, "id": self.pool_id, _MACHINE: machine})


def _name_of(path: Path) -> str:
    return f"body.{rest_name(path)}" if path else "body"
