"""A pool as the create operator's parameters define it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.images.resolve import ResolvedImage
from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.spec import Path, Spec, hidden_spec, merge
from airflow_provider_batchlinux.core.pool_metadata import reserved_names, rest_metadata
from airflow_provider_batchlinux.core.pools.changes.meaning import pool_fingerprint
from airflow_provider_batchlinux.core.pools.spec.containers import ContainerSpec
from airflow_provider_batchlinux.core.pools.spec.management import identity_problems, tag_problems
from airflow_provider_batchlinux.core.pools.spec.network import NetworkSpec
from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec, SchedulingSpec
from airflow_provider_batchlinux.core.pools.spec.security import SecuritySpec
from airflow_provider_batchlinux.core.pools.spec.software import SoftwareSpec
from airflow_provider_batchlinux.core.pools.spec.start_task import StartTaskSpec, UserAccountSpec
from airflow_provider_batchlinux.core.pools.spec.storage import StorageSpec
from airflow_provider_batchlinux.core.pools.validation.rules import generation_for, rule_problems
from airflow_provider_batchlinux.core.pools.validation.schema import read_body, rest_name
from airflow_provider_batchlinux.core.ssh_access import nat_pool, source_problems
from airflow_provider_batchlinux.core.vm_sizes.query import VmSizeQuery

_MACHINE = "virtualMachineConfiguration"
_NAT_POOLS = ("networkConfiguration", "endpointConfiguration", "inboundNATPools")
_NO_IMAGE: Mapping[str, Any] = {"imageReference": {}, "nodeAgentSKUId": "unresolved"}
_OWN_NAMES: Mapping[Path, str] = {
    ("resizeTimeout",): "resize_timeout",
    ("metadata",): "metadata",
    ("enableAutoScale",): "autoscale",
}
_UNCHOSEN = "unchosen"
# A formula may ask for any number, so the range of SSH ports is as long as the service allows.
_MOST_NODES = 10_000


@dataclass(frozen=True)
class PoolSpec(Spec):
    """
    A pool of Linux virtual machines.

    :param pool_id: the pool's id.
    :param image: the image as the user wrote it; resolved when the pool is created.
    :param vm_size: the VM size of every node as the user wrote it; chosen when the pool is created.
    :param dedicated_nodes: the number of dedicated nodes.
    :param spot_nodes: the number of Spot nodes, which are cheaper and may be preempted at any time.
    :param start_task: the command that every node runs at boot; ``None`` for none.
    :param ssh_from: networks that may reach SSH on the nodes; empty denies all of them by a rule. ``None``
        opens nothing, and leaves it to the service that SSH is closed.
    :param metadata: names and values that are stored with the pool; numbers and booleans are stored as text,
        and a name with the value ``None`` is left out.
    :param task_slots_per_node: tasks that a node runs concurrently.
    :param resize_timeout: seconds the service may take to find the nodes; ``None`` is its own 15 minutes.
    :param display_name: the name in the Azure portal; ``None`` for none.
    :param autoscale: a formula that sets the number of nodes, instead of fixed numbers.
    :param network: the network of the nodes.
    :param storage: disks and mounts.
    :param security: trusted launch and encryption.
    :param containers: the container engine of the nodes.
    :param software: application packages, extensions, and upgrades of the image.
    :param user_accounts: accounts that tasks can run as.
    :param scheduling: the placement of the nodes, and how tasks are distributed over them.
    :param identities: ARM ids of managed identities of the nodes.
    :param tags: Azure tags of the pool's resources.
    """

    pool_id: str
    image: str | Mapping[str, Any]
    vm_size: str | Sequence[str] | Mapping[str, Any]
    dedicated_nodes: int = 0
    spot_nodes: int = 0
    start_task: StartTaskSpec | Mapping[str, Any] | None = None
    ssh_from: Sequence[str] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    task_slots_per_node: int = 1
    resize_timeout: float | None = None
    display_name: str | None = None
    autoscale: AutoscaleSpec | Mapping[str, Any] | None = None
    network: NetworkSpec | Mapping[str, Any] | None = None
    storage: StorageSpec | Mapping[str, Any] | None = None
    security: SecuritySpec | Mapping[str, Any] | None = None
    containers: ContainerSpec | Mapping[str, Any] | None = None
    software: SoftwareSpec | Mapping[str, Any] | None = None
    user_accounts: Sequence[UserAccountSpec | Mapping[str, Any]] = ()
    scheduling: SchedulingSpec | Mapping[str, Any] | None = None
    identities: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    REST: ClassVar[Mapping[str, str]] = {
        "pool_id": "id",
        "display_name": "displayName",
        "vm_size": "vmSize",
        "dedicated_nodes": "targetDedicatedNodes",
        "spot_nodes": "targetLowPriorityNodes",
        "start_task": "startTask",
        "task_slots_per_node": "taskSlotsPerNode",
        "autoscale": "",
        "network": "",
        "storage": "",
        "security": "",
        "containers": f"{_MACHINE}.containerConfiguration",
        "software": "",
        "user_accounts": "userAccounts",
        "scheduling": "",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "start_task": (StartTaskSpec,),
        "autoscale": (AutoscaleSpec,),
        "network": (NetworkSpec,),
        "storage": (StorageSpec,),
        "security": (SecuritySpec,),
        "containers": (ContainerSpec,),
        "software": (SoftwareSpec,),
        "user_accounts": (UserAccountSpec,),
        "scheduling": (SchedulingSpec,),
    }

    @property
    def generation(self) -> int | None:
        """The Hyper-V generation that the image must have; ``None`` for any."""
        return generation_for(self._body())

    def problems(self) -> list[str]:
        """List what is wrong with the pool, in the order of the parameters."""
        body, problems = read_body({**self._body(), _MACHINE: {**_NO_IMAGE, **self._machine()}})
        found = [problem for problem in problems if problem.path[:1] != ("id",)]
        if not found:
            found = rule_problems(body, image=self.image)
        start = self.start_task.problems() if isinstance(self.start_task, StartTaskSpec) else []
        if start:  # it says more about its command
            found = [problem for problem in found if problem.path != ("startTask", "commandLine")]
        return [
            *id_problems("pool_id", self.pool_id),
            *(problem.message(lambda path: self.name_of(path) or rest_name(path)) for problem in found),
            *start,
            *source_problems(self.ssh_from or ()),
            *reserved_names("metadata", self.metadata),
            *(
                f"metadata[{name!r}]={value!r} is not text, a number or a boolean."
                for name, value in self.metadata.items()
                if value is not None and not isinstance(value, (str, bool, int, float))
            ),
            *self._size_problems(),
            *identity_problems(self.identities),
            *tag_problems(self.tags),
        ]

    def warnings(self) -> list[str]:
        """Return no warnings: a spec object has only fields that this provider knows."""
        return []

    def fingerprint(self) -> str:
        """
        Return a digest of the requested pool, by which a retry recognises its own pool.

        It contains only parameters that differ from their defaults, so that it does not change if a later
        version of the provider has more parameters.
        """
        return pool_fingerprint(
            self.to_rest(),
            image=self.image,
            vm_size=self.vm_size,
            identities=self.identities,
            tags=self.tags,
        )

    def to_rest(self, image: ResolvedImage | None = None, *, vm_size: str | None = None) -> dict[str, Any]:
        """
        Return the body that creates the pool.

        :param image: the resolved :attr:`image`; ``None`` if it is not resolved yet.
        :param vm_size: the size selected for :attr:`vm_size`; ``None`` if that is a name.
        """
        machine = dict(_NO_IMAGE)
        if image is not None:
            machine = {"imageReference": dict(image.reference), "nodeAgentSKUId": image.node_agent_sku}
        body, _ = read_body({**self._body(), _MACHINE: {**machine, **self._machine()}})
        chosen = {} if vm_size is None else {"vmSize": vm_size}
        return {**body, **chosen}

    @property
    def subnet_id(self) -> str | None:
        """The ARM id of the subnet of the nodes; ``None`` without one."""
        return self.network.subnet_id if isinstance(self.network, NetworkSpec) else None

    def secrets(self) -> set[str]:
        """Return the passwords, keys and URLs to mask; the start task's environment is not among them."""
        found: set[str] = set()
        for name, classes in self.PARTS.items():
            hidden_spec(classes, getattr(self, name) or {}, found)
        return found

    def name_of(self, path: Path) -> str | None:
        """Return the parameter that defines a place of the REST body."""
        if path[:1] in _OWN_NAMES:
            return _OWN_NAMES[path[:1]]
        if path[:2] == (_MACHINE, "imageReference"):
            return "image"
        position = path[len(_NAT_POOLS)] if len(path) > len(_NAT_POOLS) else None
        endpoints = self.network.endpoints if isinstance(self.network, NetworkSpec) else ()
        if path[: len(_NAT_POOLS)] == _NAT_POOLS and position == len(endpoints):
            inside = rest_name(path[len(_NAT_POOLS) + 1 :])
            return f"ssh_from ({inside})" if len(path) > len(_NAT_POOLS) + 1 else "ssh_from"
        return super().name_of(path)

    def _size_problems(self) -> list[str]:
        if isinstance(self.vm_size, str):
            return []  # checked with the body
        try:
            VmSizeQuery.parse(self.vm_size)
        except ValueError as error:
            return str(error).splitlines()
        return []

    def _machine(self) -> dict[str, Any]:
        machine: dict[str, Any] = self._body().get(_MACHINE, {})
        return machine

    def _body(self) -> dict[str, Any]:
        body = super().to_rest()
        if not isinstance(self.vm_size, str):
            body["vmSize"] = _UNCHOSEN
        if self.autoscale is not None:
            for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
                if body[name] == 0:
                    del body[name]
        if isinstance(self.resize_timeout, (int, float)):
            body["resizeTimeout"] = iso8601_duration(self.resize_timeout)
        if self.metadata:
            given = {name: value for name, value in self.metadata.items() if value is not None}
            body["metadata"] = rest_metadata(given)
        if self.ssh_from is not None and not source_problems(self.ssh_from):
            nat_pools = [nat_pool(self.ssh_from, self._node_count())]
            merge(body, {"networkConfiguration": {"endpointConfiguration": {"inboundNATPools": nat_pools}}})
        return body

    def _node_count(self) -> int:
        if self.autoscale is not None:
            return _MOST_NODES
        counts = (self.dedicated_nodes, self.spot_nodes)
        return sum(int(count) for count in counts if isinstance(count, int) or str(count).isdigit())
