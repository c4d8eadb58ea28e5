"""Pools in subnets, with own public addresses and with own images, for callers with a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import EmulatorControl, RunningEmulator
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.rules.networks import lets_ssh_in, reaches_batch
from airflow_provider_batchlinux.emulator.state.records import Pool, Resource
from airflow_provider_batchlinux.emulator.state.store import Store
from tests.emulator.entra import credential

AGENT = "batch.node.ubuntu 24.04"
MARKETPLACE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
Declare = Callable[[EmulatorControl], dict[str, Any]]


class Pools:
    """Creates pools with a token, and tells how they went."""

    def __init__(self, emulator: RunningEmulator, client: BatchClient) -> None:
        self.control, self._client = emulator.control, client

    def create(self, pool_id: str = "linux", *, image: Any = MARKETPLACE, **more: Any) -> None:
        """Create a pool of three dedicated nodes."""
        machine = {"imageReference": image, "nodeAgentSKUId": more.pop("agent", AGENT)}
        pool: Any = {
            "id": pool_id,
            "vmSize": "standard_d2s_v5",
            "targetDedicatedNodes": 3,
            "virtualMachineConfiguration": machine,
            **more,
        }
        self._client.create_pool(pool)

    def settled(self, pool_id: str = "linux", state: str = "idle") -> tuple[list[str], list[dict[str, Any]]]:
        """Return the addresses of the nodes, and the resize errors, when all nodes are in a state."""
        deadline = time.monotonic() + 20
        while True:
            pool, nodes = self._client.get_pool(pool_id), list(self._client.list_nodes(pool_id))
            if pool.allocation_state == "steady" and {node.state for node in nodes} <= {state}:
                break
            assert time.monotonic() < deadline, [node.state for node in nodes]
        errors: list[dict[str, Any]] = [dict(error) for error in pool.resize_errors or ()]
        return sorted(node.ip_address for node in nodes), errors

    def node(self) -> models.BatchNode:
        """Return the first node."""
        return next(iter(self._client.list_nodes("linux")))


@pytest.fixture
def pools(secure_emulator: RunningEmulator) -> Iterator[Pools]:
    """Give an empty account, reached with a token."""
    with BatchClient(
        secure_emulator.endpoint,
        credential(secure_emulator),
        connection_verify=str(secure_emulator.ca),
        retry_total=0,
    ) as client:
        yield Pools(secure_emulator, client)


def in_subnet(subnet_id: str, **more: Any) -> dict[str, Any]:
    return {"networkConfiguration": {"subnetId": subnet_id, **more}}


def own(image_id: str, **more: Any) -> dict[str, Any]:
    return {"image": {"virtualMachineImageId": image_id}, **more}


def with_addresses(control: EmulatorControl, provision: str, *names: str) -> dict[str, Any]:
    ids = [control.set_public_ip(name) for name in names]
    public = {"provision": provision, **({"ipAddressIds": ids} if ids else {})}
    return {"networkConfiguration": {"publicIPAddressConfiguration": public}}


def test_nodes_get_addresses_of_their_subnet(pools: Pools) -> None:
    subnet = pools.control.set_subnet("vnet", "nodes", prefix="10.1.0.0/28")
    pools.create("a", **in_subnet(subnet))
    pools.create("b", **in_subnet(subnet, publicIPAddressConfiguration={"provision": "noPublicIPAddresses"}))

    assert pools.settled("a") == (["10.1.0.4", "10.1.0.5", "10.1.0.6"], [])
    assert pools.settled("b") == (["10.1.0.7", "10.1.0.8", "10.1.0.9"], [])


ROOM: list[Any] = [
    pytest.param(lambda c: in_subnet(c.set_subnet("v", "s", limit=2)), 2, "SubnetIsFull", id="small"),
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s", prefix="10.0.0.0/24", used=250)),
        1,
        "SubnetIsFull",
        id="used",
    ),
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s", is_delegated=True)), 0, "delegation", id="delegated"
    ),
    pytest.param(lambda c: with_addresses(c, "userManaged", "one"), 3, None, id="own addresses"),
    pytest.param(
        lambda c: {**with_addresses(c, "userManaged", "one"), "targetDedicatedNodes": 101},
        100,
        "enough for 100 nodes",
        id="one address for a hundred nodes",
    ),
    pytest.param(lambda c: own(c.set_image("etl", generation=1)), 3, None, id="managed image"),
    pytest.param(
        lambda c: own(c.set_image("etl", gallery="g", version="1.0.0").partition("/versions")[0]),
        3,
        None,
        id="newest version",
    ),
    pytest.param(
        lambda c: own(c.set_image("etl"), vmSize="standard_a2_v2"), 0, "Generation", id="generation"
    ),
    pytest.param(lambda c: own(c.set_image("etl", architecture="Arm64")), 0, "Arm64", id="architecture"),
]


@pytest.mark.parametrize(("declare", "nodes", "why"), ROOM)
def test_a_pool_gets_the_nodes_that_have_room_and_can_boot(
    pools: Pools, declare: Declare, nodes: int, why: str | None
) -> None:
    pools.create(**declare(pools.control))

    addresses, errors = pools.settled()

    assert (len(addresses), [error["code"] for error in errors]) == (nodes, ["AllocationFailed"] * bool(why))
    assert (why or "") in str(errors)


def test_an_address_serves_one_pool(pools: Pools) -> None:
    pools.create("a", **with_addresses(pools.control, "userManaged", "one"))
    pools.settled("a")
    pools.create("b", **with_addresses(pools.control, "userManaged", "one"))

    addresses, errors = pools.settled("b")

    assert (addresses, "PublicIPAddressInUse" in str(errors)) == ([], True)


@pytest.mark.parametrize(
    "declare",
    [
        pytest.param(lambda c: in_subnet(c.set_subnet("v", "s", denies_batch=True)), id="security group"),
        pytest.param(lambda c: own(c.set_image("etl", node_agent_sku="batch.node.el 9")), id="other agent"),
    ],
)
def test_nodes_whose_agent_cannot_report_are_unusable(pools: Pools, declare: Declare) -> None:
    pools.create(**declare(pools.control))
    pools.settled(state="unusable")

    assert not pools.node().errors


REFUSED: list[Any] = [
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s", denied_to="caller")),
        "InvalidPropertyValue",
        "does not have the required privelege Microsoft.Network/virtualNetworks/subnets/join/action",
        id="subnet for others",
    ),
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s", denied_to="batch")),
        "InvalidPropertyValue",
        "or the Batch service does not have access to it",
        id="subnet not for Batch",
    ),
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s", location="eastus")),
        "InvalidPropertyValue",
        "is in a different region",
        id="subnet elsewhere",
    ),
    pytest.param(
        lambda c: in_subnet(c.set_subnet("v", "s").replace("/subnets/s", "/subnets/other")),
        "Forbidden",
        "is not enabled for current account",
        id="unknown subnet",
    ),
    pytest.param(
        lambda c: in_subnet(c.set_image("etl")), "InvalidPropertyValue", "not one of", id="no subnet at all"
    ),
    pytest.param(
        lambda c: with_addresses(c, "noPublicIPAddresses"),
        "InvalidPropertyValue",
        "needs a subnet",
        id="no public address without a subnet",
    ),
    pytest.param(
        lambda c: with_addresses(c, "userManaged"), "MissingRequiredProperty", "ipAddressIds", id="no address"
    ),
    pytest.param(
        lambda c: with_addresses(c, "batchManaged", "one"),
        "InvalidPropertyValue",
        "UserManaged",
        id="by Batch",
    ),
    pytest.param(
        lambda c: own(c.set_image("etl") + "2"),
        "InvalidPropertyValue",
        "required privelege Microsoft.Compute/images/read",
        id="unknown image",
    ),
    pytest.param(
        lambda c: own(c.set_image("etl", location="eastus")),
        "InvalidPropertyValue",
        "is in a different region",
        id="image elsewhere",
    ),
    pytest.param(
        lambda _: own("/subscriptions/x/resourceGroups/g/providers/Microsoft.Compute/images/i"),
        "InvalidPropertyValue",
        "is in a different subscription",
        id="image of another subscription",
    ),
    pytest.param(
        lambda c: own(c.set_image("etl"), agent="batch.node.other"), "NodeAgentSKUNotFound", "", id="no agent"
    ),
]


@pytest.mark.parametrize(("declare", "code", "reason"), REFUSED)
def test_what_azure_refuses_is_refused(pools: Pools, declare: Declare, code: str, reason: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        pools.create(**declare(pools.control))

    error: Any = refused.value.model
    assert error.code == code
    assert reason in str([value.value for value in error.error_values or ()])


def rule(access: str, priority: int, ports: str, side: str, **more: str) -> dict[str, Any]:
    direction, name = (
        ("Inbound", "sourceAddressPrefix") if ports == "22" else ("Outbound", "destinationAddressPrefix")
    )
    facts = {"protocol": "Tcp", "destinationPortRange": ports, name: side, **more}
    return {"properties": {"direction": direction, "access": access, "priority": priority, **facts}}


RULES: list[Any] = [
    pytest.param(None, True, True, id="no group"),
    pytest.param([], True, False, id="no rule"),
    pytest.param([rule("Allow", 200, "22", "203.0.113.0/24")], True, True, id="SSH for some"),
    pytest.param(
        [rule("Allow", 200, "22", "*"), rule("Deny", 100, "22", "Internet")],
        True,
        False,
        id="the first counts",
    ),
    pytest.param([rule("Deny", 100, "*", "*")], False, False, id="nothing out"),
    pytest.param([rule("Deny", 100, "400-500", "Internet")], False, False, id="no web"),
    pytest.param([rule("Deny", 100, "80", "Internet")], True, False, id="another port"),
    pytest.param([rule("Deny", 100, "443", "Storage")], True, False, id="another service"),
    pytest.param([rule("Deny", 100, "443", "*", protocol="Udp")], True, False, id="another protocol"),
    pytest.param(
        [
            rule("Deny", 200, "*", "*"),
            rule("Allow", 100, "443", "BatchNodeManagement.westeurope"),
        ],
        True,
        False,
        id="Batch alone",
    ),
]


@pytest.mark.parametrize(("rules", "is_connected", "has_ssh"), RULES)
def test_a_security_group_lets_through_what_its_first_rule_allows(
    rules: list[dict[str, Any]] | None, is_connected: bool, has_ssh: bool
) -> None:
    now, store = datetime(2026, 1, 1, tzinfo=timezone.utc), Store()
    version = Version("0x1", now)
    group = {} if rules is None else {"networkSecurityGroup": {"id": "group"}}
    store.resources.put("group", Resource("group", "", version, "", {"securityRules": rules or []}))
    store.resources.put("subnet", Resource("subnet", "", version, "", group))
    spec = {"networkConfiguration": {"subnetId": "subnet"}}
    pool = Pool("linux", spec, now, version, "active", now, "steady", now, 0, 0)

    assert (reaches_batch(store, pool), lets_ssh_in(store, pool)) == (is_connected, has_ssh)
