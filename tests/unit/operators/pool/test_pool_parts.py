"""The operator that makes a pool takes it in parts, as objects and as dicts, and the service takes them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.exceptions import BatchConflictError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.specs import (
    AutoscaleSpec,
    ContainerSpec,
    DataDiskSpec,
    EndpointRuleSpec,
    EndpointSpec,
    NetworkSpec,
    NfsMountSpec,
    SchedulingSpec,
    SecuritySpec,
    SoftwareSpec,
    StartTaskSpec,
    StorageSpec,
    UpgradeSpec,
    UserAccountSpec,
    zero_when_idle,
)
from tests.airflow_harness import RUN_ID, ExecutionApi, run_task
from tests.batch_account import NODE_AGENT, BatchAccount
from tests.tables import each_of
from tests.unit.core.pools.spec.properties import PROPERTIES, SUBNET
from tests.unit.core.pools.spec.test_properties import at
from tests.unit.operators.pool.test_pool_create import body_of, create

# With a container engine: the service refuses containers on other images.
HPC = "microsoft-dsvm:ubuntu-hpc:2404"
MACHINE = {
    "imageReference": dict(zip(("publisher", "offer", "sku"), HPC.split(":"), strict=True)),
    "nodeAgentSKUId": NODE_AGENT,
}
# The account of this test has no such application, and a key names no networks.
REFUSED_HERE = ("subnet_id", "public_ip_ids", "application_packages")
FORMULA = zero_when_idle(spot=2)

OBJECTS: dict[str, Any] = {
    "display_name": "ETL",
    "autoscale": AutoscaleSpec(FORMULA, interval=600),
    "network": NetworkSpec(
        endpoints=[
            EndpointSpec("ui", 8080, 30_000, 30_099, rules=[EndpointRuleSpec("10.0.0.0/8", priority=1000)])
        ],
        accelerated_networking=True,
    ),
    "storage": StorageSpec(mounts=[NfsMountSpec("10.0.0.4:/data", "data")], data_disks=[DataDiskSpec(64)]),
    "security": SecuritySpec(kind="trustedLaunch", secure_boot=True, vtpm=True, encryption_at_host=True),
    "containers": ContainerSpec(images=["busybox"]),
    "software": SoftwareSpec(upgrade=UpgradeSpec("manual")),
    "user_accounts": [UserAccountSpec("etl", "p4ssw0rd", elevation="admin")],
    "scheduling": SchedulingSpec(placement="zonal", fill="pack"),
    "start_task": StartTaskSpec("true", user="etl", max_retries=1),
    "ssh_from": ["203.0.113.0/24"],
}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


DICTS = {name: plain(value) for name, value in OBJECTS.items()}


def names_in(parameters: dict[str, Any]) -> set[str]:
    inner = [value for value in parameters.values() if isinstance(value, dict)]
    return set(parameters).union(*inner)


def test_the_service_takes_each_property(account: BatchAccount) -> None:
    @each_of({row[0]: (row[1],) for row in PROPERTIES if names_in(row[1]).isdisjoint(REFUSED_HERE)})
    def is_taken(parameters: dict[str, Any]) -> None:
        account.control.reset()
        spec = PoolSpec(**{"pool_id": "etl", "image": "ubuntu", "vm_size": "standard_d2s_v5", **parameters})
        body = spec.to_rest()
        body["virtualMachineConfiguration"] |= MACHINE

        account.hook.run(lambda client: client.create_pool(body))

        assert account.pools() == [spec.pool_id]

    is_taken()


@pytest.mark.parametrize("parts", [pytest.param(OBJECTS, id="objects"), pytest.param(DICTS, id="dicts")])
def test_a_pool_in_parts_is_what_was_asked_for(account, parts):
    run = run_task(create(pool_id="etl", image=HPC, **parts))

    body = body_of(account, "etl")
    machine = body["virtualMachineConfiguration"]
    network = body["networkConfiguration"]
    assert run.result["created"] is True
    assert (body["autoScaleFormula"], body["autoScaleEvaluationInterval"]) == (FORMULA, "PT10M")
    assert [pool["name"] for pool in network["endpointConfiguration"]["inboundNATPools"]] == ["ui", "ssh"]
    assert machine["securityProfile"]["uefiSettings"] == {"secureBootEnabled": True, "vTpmEnabled": True}
    assert machine["containerConfiguration"] == {
        "type": "dockerCompatible",
        "containerImageNames": ["busybox"],
    }
    assert body["startTask"]["userIdentity"]["username"] == "etl"


def test_the_pool_of_the_objects_is_the_pool_of_the_dicts(account):
    run_task(create(pool_id="etl", image=HPC, **OBJECTS))

    assert run_task(create(pool_id="etl", image=HPC, **DICTS)).result["created"] is False


def test_a_part_counts_when_a_pool_is_recognised(account):
    run_task(create(pool_id="etl", image=HPC, **OBJECTS))
    other = {**OBJECTS, "containers": ContainerSpec(images=["alpine"])}

    assert isinstance(run_task(create(pool_id="etl", image=HPC, **other)).error, BatchConflictError)


def test_numbers_in_parts_are_templated_too(account):
    accounts = [UserAccountSpec("{{ task.task_id }}", "{{ params.word }}")]
    disks = {"data_disks": [{"size_gb": "{{ params.size }}"}]}
    run = run_task(
        create(
            pool_id="etl",
            user_accounts=accounts,
            storage=disks,
            autoscale="$TargetDedicatedNodes = {{ params.nodes }};",
            display_name="{{ run_id }}",
            params={"size": 32, "word": "s3cret-w0rd", "nodes": 0},
        )
    )

    body = body_of(account, "etl")
    assert run.result["created"] is True
    assert at(body, "userAccounts.0.name") == "create"
    assert at(body, "virtualMachineConfiguration.dataDisks.0.diskSizeGB") == 32
    assert body["autoScaleFormula"] == "$TargetDedicatedNodes = 0;"
    assert body["displayName"] == RUN_ID


def test_all_problems_of_all_parts_are_named_at_once_before_any_request(account):
    run = run_task(
        create(
            pool_id="two words",
            network={"subnet": "x"},
            storage={"mounts": [{"path": "p"}]},
            security=SecuritySpec(vtpm=True),
            user_accounts=[{"name": 7, "password": "p4ssw0rd"}],
        )
    )

    for name in ("pool_id", "network.subnet", "storage.mounts[0].source", "user_accounts[0].name"):
        assert any(line.startswith(name) for line in run.shown.splitlines()), name
    assert account.requests() == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"vm_size": None}, "vm_size is missing.", id="no size"),
        pytest.param({"image": None}, "image is missing.", id="no image"),
        pytest.param(
            {"start_task": StartTaskSpec("true"), "start_task_retries": 2},
            "start_task_retries is for a start_task given as text",
            id="a start task in two forms",
        ),
        pytest.param(
            {"body": {}, "spot_nodes": 1}, "vm_size and body are both given", id="a pool in two forms"
        ),
    ],
)
def test_parameters_that_cannot_stand_together_are_refused_before_any_request(account, options, problem):
    run = run_task(create(pool_id="etl", **options))

    assert problem in run.message
    assert account.requests() == []


def test_what_needs_an_entra_token_is_refused_before_any_request_with_a_key(account):
    run = run_task(create(pool_id="etl", network={"subnet_id": SUBNET}))

    assert run.message == (
        "network.subnet_id needs a caller with an Entra token: "
        "the connection has an account key; give it an Entra identity (auth)."
    )
    assert account.requests() == []


def test_an_image_of_ones_own_is_refused_before_any_request_with_a_key(account):
    own = {"image_id": "/subscriptions/s/galleries/g/images/i", "node_agent_sku": NODE_AGENT}
    run = run_task(create(pool_id="etl", image=own))

    assert run.message.startswith("image needs a caller with an Entra token")
    assert account.requests() == []


def test_trusted_launch_takes_an_image_of_the_second_generation(account):
    run = run_task(create(pool_id="etl", image="ubuntu 22.04", security={"kind": "trustedLaunch"}))

    assert run.state == "success"
    assert "gen1" not in run.result["image"]["sku"]


def test_a_mapped_task_takes_parts_and_hides_their_secrets(account):
    accounts = [{"name": "etl", "password": "p4ssw0rd"}]
    with DAG("mapped", schedule=None):
        mapped = BatchLinuxCreatePoolOperator.partial(
            task_id="create", image="ubuntu", vm_size="standard_d2s_v5"
        ).expand(user_accounts=[accounts])
    run = run_task(mapped.unmap({"user_accounts": accounts}), map_index=0)

    assert at(body_of(account, run.result["pool_id"]), "userAccounts.0.name") == "etl"
    assert "p4ssw0rd" not in run.everything_said


@pytest.mark.usefixtures("account")
def test_an_xcom_inside_a_spec_object_is_read_when_the_task_runs_and_orders_the_tasks():
    api = ExecutionApi(xcoms={"return_value": [{"source": "10.0.0.1:/data", "path": "data"}]})
    with DAG("computed", schedule=None):
        mounts = EmptyOperator(task_id="mounts")
        task = create(pool_id="etl", storage=StorageSpec(mounts=mounts.output))  # type: ignore[arg-type]

    run = run_task(task, api=api)

    assert task.upstream_task_ids == {"mounts"}
    assert run.rendered["storage"] == {"mounts": [{"source": "10.0.0.1:/data", "path": "data"}]}
    assert run.state == "success", run.error


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        pytest.param("id -un", None, id="text"),
        pytest.param(
            {"command": "id -un"}, "start_task_elevated is for a start_task given as text", id="part"
        ),
    ],
)
def test_what_another_task_returns_is_judged_when_the_task_runs(account, returned, problem):
    api = ExecutionApi(xcoms={"return_value": returned})
    with DAG("computed", schedule=None):
        built = EmptyOperator(task_id="built").output
        task = create(pool_id="etl", start_task=built, start_task_elevated=True)

    run = run_task(task, api=api)

    assert task.upstream_task_ids == {"built"}
    if problem is not None:
        assert problem in run.message
        return
    assert run.state == "success", run.error
    started = account.hook.run(lambda client: client.find_pool_body("etl"))["startTask"]
    assert started["userIdentity"]["autoUser"]["elevationLevel"] == "admin"


@pytest.mark.parametrize("mounts", ["{{ params.mounts }}", "{{ params.mounts | tojson }}"])
def test_a_list_of_parts_may_be_a_template(account, mounts):
    params = {"mounts": [{"source": "10.0.0.1:/data", "path": "data"}]}

    run = run_task(create(pool_id="etl", storage=StorageSpec(mounts=mounts), params=params))

    assert run.state == "success", run.error
    mounted = account.hook.run(lambda client: client.find_pool_body("etl"))["mountConfiguration"]
    assert mounted[0]["nfsMountConfiguration"]["source"] == "10.0.0.1:/data"
