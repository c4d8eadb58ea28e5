"""The operator that makes a pool, with a connection that reaches the management plane, and without."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchQuotaError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.management_plane import IDENTITY, as_reader, connect
from tests.source_code import ROOT

OTHER = f"{IDENTITY}-2"
PAGE = (ROOT / "docs" / "howto" / "create-a-pool.md").read_text(encoding="utf-8")
NOT_CHECKED = "VM size and quotas are not checked before the pool is created:"


@pytest.fixture
def account(secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> BatchAccount:
    connect(monkeypatch, secure_emulator)
    return BatchAccount(secure_emulator)


def create(task_id: str = "create", **options: Any) -> TaskRun:
    defaults = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
    return run_task(BatchLinuxCreatePoolOperator(task_id=task_id, **{**defaults, **options}))


def identities_of(account: BatchAccount) -> list[str]:
    body: Any = account.hook.run(lambda client: client.find_pool_body("etl"))
    return [entry["resourceId"] for entry in body.get("identity", {}).get("userAssignedIdentities", ())]


def asked_of_management(account: BatchAccount) -> list[str]:
    requests = [item.split(" ") for item in account.requests()]
    return [f"{method} {path.rsplit('/', 2)[-2]}" for method, path in requests if "/subscriptions/" in path]


def test_a_pool_gets_its_identities_and_tags(account: BatchAccount) -> None:
    run = create(identities=[IDENTITY], tags={"team": "{{ dag.dag_id }}"}, preflight=False, spot_nodes=1)

    assert run.result["created"] is True
    assert identities_of(account) == [IDENTITY]
    assert asked_of_management(account) == ["PUT pools"]
    again = create(
        identities=[IDENTITY], tags={"team": "harness"}, preflight=False, spot_nodes=1, task_id="b"
    )
    assert again.result["created"] is False


def test_the_pool_of_the_how_to_is_made(account: BatchAccount) -> None:
    example = PAGE.partition("## Identities")[2].partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"BatchLinuxCreatePoolOperator": BatchLinuxCreatePoolOperator}
    exec(example, names)

    run = run_task(names["tagged"])

    assert run.result["created"] is True


def test_a_pool_by_its_body_gets_them_too(account: BatchAccount) -> None:
    body = {
        "id": "etl",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {"imageReference": "ubuntu 24.04"},
        "targetDedicatedNodes": 0,
    }

    run = create(image=None, vm_size=None, body=body, identities=[IDENTITY])

    assert run.state == "success", run.error
    assert identities_of(account) == [IDENTITY]


def test_no_secret_of_the_pool_is_told_on_the_way(account: BatchAccount) -> None:
    accounts = [{"name": "etl", "password": "c0rrect-h0rse"}]

    made = create(user_accounts=accounts, identities=[IDENTITY])
    refused = create(
        pool_id="b", user_accounts=accounts, identities=[IDENTITY], vm_size="x_1", preflight=False
    )

    assert (made.state, refused.state) == ("success", "failed")
    assert "c0rrect-h0rse" not in made.everything_said + refused.everything_said


def test_a_pool_without_them_is_made_by_the_data_plane(account: BatchAccount) -> None:
    run = create(preflight=False)

    assert run.result["created"] is True
    assert asked_of_management(account) == []


def test_another_identity_is_another_pool_and_is_told(account: BatchAccount) -> None:
    create(identities=[IDENTITY], tags={"team": "etl"}, dedicated_nodes=1)

    run = create(identities=[OTHER], tags={"team": "ml"}, dedicated_nodes=1, task_id="other")

    assert isinstance(run.error, BatchConflictError)
    assert f"identity.userAssignedIdentities: wanted ['{OTHER.lower()[:50]}" in run.message
    assert "tags.team: wanted 'ml', found 'etl'" in run.message


def test_update_changes_tags_on_any_pool_and_identities_on_an_empty_one(account: BatchAccount) -> None:
    create(identities=[IDENTITY], tags={"team": "etl", "cost": "1"})

    run = create(identities=[OTHER], tags={"team": "ml"}, if_exists="update", task_id="other")

    assert run.state == "success", run.error
    assert run.result["changed"] == ["identity", "tags"]
    assert identities_of(account) == [OTHER]
    kept = create(identities=[OTHER], tags={"team": "ml", "cost": "1"}, if_exists="update", task_id="b")
    assert kept.result["changed"] == []


def test_identities_of_a_pool_with_nodes_are_not_changed(account: BatchAccount) -> None:
    create(identities=[IDENTITY], dedicated_nodes=1)

    run = create(identities=[OTHER], dedicated_nodes=1, if_exists="update", task_id="other")

    assert "if_exists='update' cannot change identity. Nothing was changed." in run.message
    assert identities_of(account) == [IDENTITY]


@pytest.mark.parametrize(
    ("lost", "gaps"),
    [
        pytest.param({"subscription_id": None}, "subscription_id", id="no subscription"),
        pytest.param({"resource_group": None}, "resource_group", id="no resource group"),
    ],
)
def test_what_the_connection_lacks_for_them_is_named_before_any_call(
    lost: dict[str, Any], gaps: str, account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, account.service, **lost)

    run = create(identities=[IDENTITY], tags={"team": "etl"})

    assert run.message == (
        f"identities and tags need the management plane, for which the connection lacks {gaps}."
    )
    assert account.requests() == []


def test_a_key_is_not_enough_for_them(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, account.service, ca_file=str(account.service.ca))

    run = create(tags={"team": "etl"})

    assert "lacks an Entra identity (auth), subscription_id, resource_group." in run.message


def test_all_that_keeps_the_pool_from_its_nodes_is_told_before_it_is_made(account: BatchAccount) -> None:
    account.control.set_quota(dedicated_cores=2, spot_cores=0)

    run = create(vm_size="standard_a2", dedicated_nodes=2, spot_nodes=1, expires_in=timedelta(days=400))

    assert isinstance(run.error, ValueError)
    lines = [line for line in run.shown.splitlines() if not line.startswith("  ")]
    assert lines[0] == "Pool 'etl' was not created:"
    assert [line.split(" ")[0] for line in lines[1:]] == [
        "vm_size='standard_a2'",
        "spot_nodes=1:",
        "dedicated_nodes=2",
        "spot_nodes=1",
    ]
    assert account.pools() == []


def test_used_up_quotas_alone_can_be_tried_again_later(account: BatchAccount) -> None:
    account.control.set_quota(dedicated_cores=6)
    create(pool_id="other", dedicated_nodes=2)

    run = create(dedicated_nodes=2)

    assert isinstance(run.error, BatchQuotaError)
    assert "wants 4 dedicated cores; the account has 2 of 6 left" in run.message
    account.delete_pool("other")
    assert create(dedicated_nodes=2).result["created"] is True


def test_an_existing_pool_needs_no_quota(account: BatchAccount) -> None:
    create(dedicated_nodes=2)
    account.control.set_quota(dedicated_cores=4, pools=1)

    assert create(dedicated_nodes=2).result["created"] is False


def test_the_image_fits_the_generation_of_the_size_with_and_without_preflight(account: BatchAccount) -> None:
    seen, blind = (
        create(vm_size="standard_d2_v2"),
        create(pool_id="b", vm_size="standard_d2_v2", preflight=False),
    )

    assert seen.result["image"]["sku"] == "server-gen1"
    assert blind.result["image"]["sku"] == "server-gen1"


def test_an_unknown_size_is_told_with_the_nearest(account: BatchAccount) -> None:
    run = create(vm_size="standard_d2s_v55")

    assert (
        "is not a VM size that Batch offers in 'westeurope'; the nearest are Standard_D2s_v5," in run.message
    )


def test_a_reader_of_the_management_plane_looks_too(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, account.service, **as_reader(account.service))

    assert "is not a VM size" in create(vm_size="standard_d2s_v55").message


@pytest.mark.parametrize(
    ("changes", "options", "warned"),
    [
        pytest.param({"resource_group": "other"}, {}, True, id="another resource group"),
        pytest.param({"management_url": "https://127.0.0.1:1"}, {}, True, id="no answer"),
        pytest.param({"subscription_id": None}, {"preflight": True}, True, id="no subscription, asked for"),
        pytest.param({"subscription_id": None}, {}, False, id="no subscription, not asked for"),
        pytest.param({"resource_group": "other"}, {"preflight": False}, False, id="not wanted"),
    ],
)
def test_a_look_that_cannot_be_made_only_warns(
    changes: dict[str, Any], options: dict[str, Any], warned: bool,
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    connect(monkeypatch, account.service, **changes)

    run = create(**options)

    assert run.result["created"] is True
    assert (NOT_CHECKED in run.log) is warned


class TestSubnet:
    def subnet_of(self, account: BatchAccount, name: str = "nodes") -> str:
        facts = account.service.management
        assert facts is not None
        group = f"/subscriptions/{facts.subscription_id}/resourceGroups/{facts.resource_group}"
        return f"{group}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/{name}"

    def make(self, account: BatchAccount, name: str = "nodes", **options: Any) -> TaskRun:
        return create(network={"subnet_id": self.subnet_of(account, name)}, **options)

    def test_nodes_that_do_not_fit_into_it_are_refused_before_the_pool_is_made(
        self, account: BatchAccount
    ) -> None:
        account.control.set_subnet("vnet", "nodes", limit=251, used=249)

        run = self.make(account, dedicated_nodes=2, spot_nodes=1)

        assert isinstance(run.error, BatchQuotaError)
        assert "network.subnet_id='/subscriptions/" in run.message
        assert "has 2 of 251 addresses left, and the pool asks for 3 nodes" in run.message
        assert not any(request.startswith("POST") for request in account.requests())

    @pytest.mark.parametrize(
        "options",
        [{"dedicated_nodes": 2}, {"autoscale": "$TargetDedicatedNodes = 5;"}],
        ids=["fit", "formula"],
    )
    def test_nodes_that_fit_are_allocated(self, account: BatchAccount, options: dict[str, Any]) -> None:
        account.control.set_subnet("vnet", "nodes", limit=251, used=249)

        run = self.make(account, **options)

        assert run.state == "success", run.error
        assert "not checked" not in run.log

    @pytest.mark.parametrize(
        ("there", "message"),
        [
            pytest.param([], "Virtual network 'vnet' was not found", id="no network"),
            pytest.param(["other"], "its network does not list it", id="no subnet"),
        ],
    )
    def test_a_subnet_that_is_not_to_be_seen_is_only_warned_of(
        self, account: BatchAccount, there: list[str], message: str
    ) -> None:
        for name in there:
            account.control.set_subnet("vnet", name, limit=0)

        run = self.make(account, dedicated_nodes=2)

        assert "The free addresses of subnet '/subscriptions/" in run.log
        assert message in run.log
        assert "is not enabled for current account" in run.message

    def test_a_body_is_looked_at_too(self, account: BatchAccount) -> None:
        account.control.set_subnet("vnet", "nodes", limit=1)
        network = {"subnetId": self.subnet_of(account)}
        machine = {"imageReference": "ubuntu 24.04"}
        body = {"vmSize": "standard_d2s_v5", "targetDedicatedNodes": 2, "networkConfiguration": network}

        run = create(image=None, vm_size=None, body={**body, "virtualMachineConfiguration": machine})

        assert "networkConfiguration.subnetId=" in run.message
        assert "has 1 of 1 addresses left" in run.message
