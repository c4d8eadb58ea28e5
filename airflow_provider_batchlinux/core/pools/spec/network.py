"""The network of a pool's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.parameters.spec import Spec


@dataclass(frozen=True)
class EndpointRuleSpec(Spec):
    """
    A rule that allows or denies access to an endpoint.

    .. code-block:: python

        office = EndpointRuleSpec("203.0.113.0/24", priority=1000)
        others = EndpointRuleSpec("*", priority=2000, access="deny")
        NetworkSpec(endpoints=[EndpointSpec("ui", 8080, 30_000, 30_099, rules=[office, others])])

    :param source: an address, a network, a service tag, or ``*`` for all.
    :param priority: 150 to 4096, different for each rule of the pool; the lowest number has precedence.
    :param access: ``allow`` or ``deny``.
    :param source_ports: ports or ranges such as ``100-200``; empty for all.
    """

    source: str
    priority: int
    access: str = "allow"
    source_ports: Sequence[str] = ()

    REST: ClassVar[Mapping[str, str]] = {
        "source": "sourceAddressPrefix",
        "priority": "priority",
        "access": "access",
        "source_ports": "sourcePortRanges",
    }


@dataclass(frozen=True)
class EndpointSpec(Spec):
    """
    A port of every node that is reachable from outside; for SSH, use ``ssh_from``.

    .. code-block:: python

        NetworkSpec(
            endpoints=[EndpointSpec("ui", 8080, first_frontend_port=30_000, last_frontend_port=30_099)]
        )

    :param name: the endpoint's name, unique in the pool.
    :param port: the port on the node; 29876 and 29877 are reserved for the service.
    :param first_frontend_port: the first public port; each node gets one of the range.
    :param last_frontend_port: the last public port: at least 40 ports, none of them in 50000 to 55000.
    :param protocol: ``tcp`` or ``udp``.
    :param rules: rules of access; empty allows all.
    """

    name: str
    port: int
    first_frontend_port: int
    last_frontend_port: int
    protocol: str = "tcp"
    rules: Sequence[EndpointRuleSpec | Mapping[str, Any]] = ()

    REST: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "port": "backendPort",
        "first_frontend_port": "frontendPortRangeStart",
        "last_frontend_port": "frontendPortRangeEnd",
        "protocol": "protocol",
        "rules": "networkSecurityGroupRules",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {"rules": (EndpointRuleSpec,)}


@dataclass(frozen=True)
class IpTagSpec(Spec):
    """
    A tag of the pool's public IP addresses, for billing.

    .. code-block:: python

        NetworkSpec(ip_tags=[IpTagSpec("FirstPartyUsage", "/Sql")])

    :param kind: the tag's type, such as ``FirstPartyUsage``.
    :param tag: the tag's value.
    """

    kind: str
    tag: str

    REST: ClassVar[Mapping[str, str]] = {"kind": "ipTagType", "tag": "tag"}


@dataclass(frozen=True)
class NetworkSpec(Spec):
    """
    The network of a pool's nodes.

    .. code-block:: python

        NetworkSpec(
            subnet_id="/subscriptions/1234/resourceGroups/data/providers/Microsoft.Network"
            "/virtualNetworks/etl/subnets/nodes",
            public_ips="nopublicipaddresses",
            accelerated_networking=True,
        )

    :param subnet_id: the ARM id of the subnet that the nodes join; needs an Entra connection. ``None`` leaves
        the network to Batch.
    :param public_ips: ``batchmanaged`` (the service's default), ``usermanaged`` or ``nopublicipaddresses``.
    :param public_ip_ids: ARM ids of existing public IP addresses, one for every 100 dedicated nodes and one
        for every 100 Spot nodes; needs an Entra connection.
    :param ip_families: ``IPv4``, or ``IPv4`` and ``IPv6``; empty is the service's default.
    :param ip_tags: tags of the public IP addresses.
    :param endpoints: ports of the nodes that are reachable from outside.
    :param accelerated_networking: whether accelerated networking is enabled; ``None`` is the service's
        default, which is no.
    :param dynamic_vnet_assignment: ``none`` or ``job``; ``None`` is the service's default, ``none``.
    :param inter_node_communication: whether nodes can communicate directly with each other, which limits the
        size of the pool; ``None`` is the service's default, which is no.
    """

    subnet_id: str | None = None
    public_ips: str | None = None
    public_ip_ids: Sequence[str] = ()
    ip_families: Sequence[str] = ()
    ip_tags: Sequence[IpTagSpec | Mapping[str, Any]] = ()
    endpoints: Sequence[EndpointSpec | Mapping[str, Any]] = ()
    accelerated_networking: bool | None = None
    dynamic_vnet_assignment: str | None = None
    inter_node_communication: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "subnet_id": "networkConfiguration.subnetId",
        "public_ips": "networkConfiguration.publicIPAddressConfiguration.provision",
        "public_ip_ids": "networkConfiguration.publicIPAddressConfiguration.ipAddressIds",
        "ip_families": "networkConfiguration.publicIPAddressConfiguration.ipFamilies",
        "ip_tags": "networkConfiguration.publicIPAddressConfiguration.ipTags",
        "endpoints": "networkConfiguration.endpointConfiguration.inboundNATPools",
        "accelerated_networking": "networkConfiguration.enableAcceleratedNetworking",
        "dynamic_vnet_assignment": "networkConfiguration.dynamicVNetAssignmentScope",
        "inter_node_communication": "enableInterNodeCommunication",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "ip_tags": (IpTagSpec,),
        "endpoints": (EndpointSpec,),
    }
