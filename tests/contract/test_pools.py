"""Pools, as the SDK sees them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.contract.requests import refusal_of

NIL = "00000000-0000-0000-0000-000000000000"
COMPUTE = f"/subscriptions/{NIL}/resourceGroups/images/providers/Microsoft.Compute"


def test_a_created_pool_ends_steady_at_its_targets(client: BatchClient, make_pool: Any) -> None:
    pool = client.get_pool(make_pool(dedicated=2, spot=1))

    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (2, 1)
    assert pool.allocation_state == "steady"
    assert pool.resize_errors is None


def test_the_description_of_a_pool_comes_back_with_defaults(client: BatchClient, make_pool: Any) -> None:
    metadata = [models.BatchMetadataItem(name="owner", value="etl")]
    pool = client.get_pool(make_pool(metadata=metadata))

    assert pool.metadata == metadata
    assert pool.vm_size == "standard_d2s_v5"
    assert pool.task_slots_per_node == 1
    assert pool.virtual_machine_configuration.image_reference.version == "latest"


def test_vm_sizes_come_back_in_lower_case(client: BatchClient, batch_emulator: Any) -> None:
    client.create_pool(_pool(vm_size="Standard_D2s_v5"))

    assert client.get_pool("linux").vm_size == "standard_d2s_v5"


def test_ids_of_pools_are_found_without_regard_to_case(client: BatchClient, make_pool: Any) -> None:
    make_pool("Linux")

    assert client.get_pool("LINUX").id == "Linux"
    assert refusal_of(lambda: client.create_pool(_pool("linux"))) == (409, "PoolExists")


@pytest.mark.parametrize(
    ("options", "code", "property_name"),
    [
        pytest.param({"vm_size": "thisisinvalid"}, "InvalidPropertyValue", "vmSize", id="vm size"),
        pytest.param({"id": "a b"}, "InvalidPropertyValue", "id", id="id with a blank"),
        pytest.param({"id": "x" * 65}, "InvalidPropertyValue", "id", id="id of 65 characters"),
        pytest.param(
            {"target_dedicated_nodes": -1},
            "InvalidPropertyValue",
            "targetDedicatedNodes",
            id="negative target",
        ),
        pytest.param({"task_slots_per_node": 9}, "InvalidPropertyValue", "taskSlotsPerNode", id="slots"),
        pytest.param(
            {"virtual_machine_configuration": None},
            "MissingRequiredProperty",
            "virtualMachineConfiguration",
            id="no image",
        ),
    ],
)
def test_a_wrong_description_is_refused(
    client: BatchClient, options: dict[str, Any], code: str, property_name: str
) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        client.create_pool(_pool(**{"id": "linux", **options}))

    assert refusal.value.status_code == 400
    assert refusal.value.error.code == code
    details = {detail.code: detail.message for detail in refusal.value.error.details}
    assert details["PropertyName"] == property_name


def test_an_unknown_image_is_refused_with_its_name(client: BatchClient) -> None:
    reference = models.BatchVmImageReference(publisher="a", offer="b", sku="c")

    with pytest.raises(HttpResponseError) as refusal:
        client.create_pool(_pool(image=reference))

    reasons = {detail.code: detail.message for detail in refusal.value.error.details}
    assert reasons["Reason"] == (
        "The specified imageReference with publisher a offer b sku c is not supported."
    )


def test_a_node_agent_of_another_image_is_refused(client: BatchClient) -> None:
    refusal = refusal_of(lambda: client.create_pool(_pool(agent="batch.node.el 9")))

    assert refusal == (400, "InvalidPropertyValue")


def test_a_gallery_image_needs_another_authentication(client: BatchClient) -> None:
    image_id = f"{COMPUTE}/galleries/shared/images/linux/versions/1.0.0"
    reference = models.BatchVmImageReference(virtual_machine_image_id=image_id)

    assert refusal_of(lambda: client.create_pool(_pool(image=reference))) == (
        403,
        "AuthenticationFailed",
    )


@pytest.mark.parametrize(
    "path", ["gallery/shared/images/linux", "galleries/shared", "images/linux/versions/1"]
)
def test_the_id_of_an_image_is_checked_before_the_authentication(client: BatchClient, path: str) -> None:
    reference = models.BatchVmImageReference(virtual_machine_image_id=f"{COMPUTE}/{path}")

    assert refusal_of(lambda: client.create_pool(_pool(image=reference))) == (400, "InvalidPropertyValue")


@pytest.mark.parametrize("subscription", [NIL, "1d1e7b3c-0c52-4f07-9ba8-a0c1fa9a6a00"])
def test_a_subnet_of_another_subscription_is_refused_before_the_authentication(
    client: BatchClient, subscription: str
) -> None:
    foreign = f"{COMPUTE.replace('Compute', 'Network')}/virtualNetworks/vnet/subnets/one"
    network = models.NetworkConfiguration(subnet_id=foreign.replace(NIL, subscription))
    pool = _pool(network_configuration=network)
    auto_pool = models.BatchAutoPoolSpecification(
        pool_lifetime_option="job",
        pool=models.BatchPoolSpecification(
            vm_size=pool.vm_size,
            virtual_machine_configuration=pool.virtual_machine_configuration,
            network_configuration=network,
        ),
    )
    info = models.BatchPoolInfo(auto_pool_specification=auto_pool)
    job = models.BatchJobCreateOptions(id="job", pool_info=info)
    schedule = models.BatchJobScheduleCreateOptions(
        id="schedule",
        schedule=models.BatchJobScheduleConfiguration(),
        job_specification=models.BatchJobSpecification(pool_info=info),
    )

    for call in (
        partial(client.create_pool, pool),
        partial(client.create_job, job),
        partial(client.create_job_schedule, schedule),
    ):
        assert refusal_of(call) == (400, "InvalidPropertyValue")


def test_a_node_with_ipv6_has_each_endpoint_twice(
    client: BatchClient, make_pool: Any, nat_pool: models.NetworkConfiguration
) -> None:
    nat_pool.public_ip_address_configuration = models.BatchPublicIpAddressConfiguration(
        ip_families=["IPv6", "IPv4"]
    )
    make_pool(network_configuration=nat_pool)
    (node,) = client.list_nodes("linux")
    ipv4, ipv6 = node.endpoint_configuration.inbound_endpoints
    login = client.get_node_remote_login_settings("linux", node.id)

    assert node.ipv6_address == "fd00::4"
    assert (ipv4.name, ipv6.name) == ("ssh.0", "ssh-ipv6.0")
    assert (ipv4.frontend_port, ipv4.backend_port) == (ipv6.frontend_port, ipv6.backend_port)
    assert login.ipv6_remote_login_port == login.remote_login_port
    assert login.ipv6_remote_login_ip_address == ipv6.public_ip_address


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"backend_port": 29876}, id="reserved backend port"),
        pytest.param({"frontend_port_range_end": 40038}, id="39 frontend ports"),
        pytest.param(
            {"frontend_port_range_start": 49990, "frontend_port_range_end": 50040},
            id="reserved frontend ports",
        ),
        pytest.param({"name": "-ssh"}, id="name"),
        pytest.param(
            {
                "network_security_group_rules": [
                    models.NetworkSecurityGroupRule(priority=149, access="allow", source_address_prefix="*")
                ]
            },
            id="priority",
        ),
    ],
)
def test_a_nat_pool_out_of_limits_is_refused(
    client: BatchClient, nat_pool: models.NetworkConfiguration, changes: dict[str, Any]
) -> None:
    rule = nat_pool.endpoint_configuration.inbound_nat_pools[0]
    for name, value in changes.items():
        setattr(rule, name, value)

    refusal = refusal_of(lambda: client.create_pool(_pool(network_configuration=nat_pool)))

    assert refusal == (400, "InvalidPropertyValue")


def test_pools_are_listed_in_pages_by_their_ids(client: BatchClient) -> None:
    for number in (3, 1, 2):
        client.create_pool(_pool(f"pool-{number}"))

    assert [pool.id for pool in client.list_pools(max_results=1)] == ["pool-1", "pool-2", "pool-3"]
    assert [pool.id for pool in client.list_pools(filter="id eq 'pool-2'")] == ["pool-2"]
    assert client.get_pool("pool-1", select=["id"]).vm_size is None


def test_a_resize_adds_and_removes_nodes(client: BatchClient, make_pool: Any, eventually: Any) -> None:
    make_pool(dedicated=3)
    resized = models.BatchPoolResizeOptions(target_dedicated_nodes=1, target_low_priority_nodes=2)

    client.begin_resize_pool("linux", resized, polling_interval=0).result()

    kinds = [node.is_dedicated for node in client.list_nodes("linux")]
    assert sorted(kinds) == [False, False, True]


def test_named_nodes_are_removed(client: BatchClient, make_pool: Any) -> None:
    make_pool(dedicated=2)
    gone, stays = [node.id for node in client.list_nodes("linux")]
    removal = models.BatchNodeRemoveOptions(node_ids=[gone])

    client.begin_remove_nodes("linux", removal, polling_interval=0).result()

    assert [node.id for node in client.list_nodes("linux")] == [stays]
    assert client.get_pool("linux").target_dedicated_nodes == 1


def test_a_deleted_pool_is_gone_with_its_nodes(client: BatchClient, make_pool: Any) -> None:
    make_pool()

    client.begin_delete_pool("linux", polling_interval=0).result()

    assert refusal_of(lambda: client.get_pool("linux")) == (404, "PoolNotFound")


def test_properties_of_a_pool_are_patched(client: BatchClient, make_pool: Any) -> None:
    make_pool()
    before = client.get_pool("linux").etag

    client.update_pool("linux", models.BatchPoolUpdateOptions(display_name="Nightly"))

    pool = client.get_pool("linux")
    assert pool.display_name == "Nightly"
    assert pool.etag != before


def test_a_condition_that_does_not_hold_changes_nothing(client: BatchClient, make_pool: Any) -> None:
    from azure.core import MatchConditions

    make_pool()
    with pytest.raises(HttpResponseError) as refusal:
        client.update_pool(
            "linux",
            models.BatchPoolUpdateOptions(display_name="Nightly"),
            etag="0x0",
            match_condition=MatchConditions.IfNotModified,
        )

    assert refusal.value.status_code == 412
    assert client.get_pool("linux").display_name is None


@pytest.mark.parametrize(
    ("quota", "kind", "code"),
    [
        pytest.param("dedicated_cores", "dedicated", "AccountCoreQuotaReached", id="dedicated"),
        pytest.param("spot_cores", "spot", "AccountSpotCoreQuotaReached", id="spot"),
    ],
)
def test_cores_over_quota_end_in_a_resize_error(
    client: BatchClient,
    batch_emulator: RunningEmulator,
    make_pool: Any,
    quota: str,
    kind: str,
    code: str,
) -> None:
    batch_emulator.control.set_quota(**{quota: 5})

    pool = client.get_pool(make_pool(**{"dedicated": 0, kind: 3}))

    assert [error.code for error in pool.resize_errors] == [code]
    assert pool.current_dedicated_nodes + pool.current_low_priority_nodes == 2


def test_a_pool_over_quota_is_refused(client: BatchClient, batch_emulator: RunningEmulator) -> None:
    batch_emulator.control.set_quota(pools=1)
    client.create_pool(_pool("one"))

    assert refusal_of(lambda: client.create_pool(_pool("two"))) == (409, "PoolQuotaReached")


def _pool(
    id: str = "linux",
    image: models.BatchVmImageReference | None = None,
    agent: str = "batch.node.ubuntu 24.04",
    **options: Any,
) -> models.BatchPoolCreateOptions:
    reference = image or models.BatchVmImageReference(
        publisher="Canonical", offer="ubuntu-24_04-lts", sku="server"
    )
    machine = models.VirtualMachineConfiguration(image_reference=reference, node_agent_sku_id=agent)
    defaults = {"vm_size": "standard_d2s_v5", "virtual_machine_configuration": machine}
    return models.BatchPoolCreateOptions(id=id, **{**defaults, **options})
