"""The operator that makes a pool of whichever VM size would do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.core.images.resolve import ImageNotFoundError
from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.exceptions import BatchQuotaError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.management_plane import connect


@pytest.fixture
def managed(secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> BatchAccount:
    """Give an account whose management plane the connection leads to."""
    connect(monkeypatch, secure_emulator)
    return BatchAccount(secure_emulator)


def create(vm_size: Any, **options: Any) -> TaskRun:
    request = {"pool_id": "etl", "image": "ubuntu 24.04", "dedicated_nodes": 1, **options}
    return run_task(BatchLinuxCreatePoolOperator(task_id="create", vm_size=vm_size, **request))


@pytest.mark.parametrize(
    ("vm_size", "options", "sku"),
    [
        pytest.param("standard_d2_v2", {}, "server-gen1", id="generation 1 only"),
        pytest.param("standard_nc24ads_a100_v4", {}, "server", id="generation 2 only"),
        pytest.param("standard_d2ps_v5", {}, "server-arm64", id="Arm"),
        pytest.param("standard_d2s_v5", {"containers": {}}, "2404", id="containers"),
    ],
)
def test_with_an_account_key_the_image_fits_the_size_and_the_pool(
    account: BatchAccount, vm_size: str, options: dict[str, Any], sku: str
) -> None:
    run = create(vm_size, dedicated_nodes=0, **options)

    assert run.state == "success", run.message
    assert run.result["image"]["sku"] == sku


AGENT = {"node_agent_sku": "batch.node.ubuntu 24.04"}


@pytest.mark.parametrize(
    ("vm_size", "options", "says"),
    [
        pytest.param(
            "standard_d2_v2",
            {"image": "ubuntu 24.04 gen2"},
            "VM size 'standard_d2_v2' boots images of generation 1 for x64.",
            id="generation 2 on a size of generation 1",
        ),
        pytest.param(
            "standard_dc2s_v2",
            {"image": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server-gen1", **AGENT}},
            "VM size 'standard_dc2s_v2' boots images of generation 2 for x64.",
            id="generation 1 on a size of generation 2",
        ),
        pytest.param(
            "standard_d2ps_v5",
            {"image": "canonical:ubuntu-24_04-lts:server"},
            "for arm64.",
            id="x64 on an Arm size",
        ),
        pytest.param(
            "standard_d2s_v5",
            {"image": "canonical:ubuntu-24_04-lts:server", "containers": {}},
            "microsoft-dsvm:ubuntu-hpc:2404",
            id="containers without an engine",
        ),
    ],
)
def test_with_an_account_key_a_pool_that_cannot_work_is_refused_with_the_nearest_images(
    account: BatchAccount, vm_size: str, options: dict[str, Any], says: str
) -> None:
    run = create(vm_size, **options)

    assert isinstance(run.error, ImageNotFoundError)
    assert says in run.message
    assert "Nearest, with why each was passed over:" in run.message
    assert account.pools() == []


@pytest.mark.usefixtures("account")
def test_a_size_on_the_retirement_list_is_warned_of() -> None:
    assert "VM size 'standard_d2_v2' is on Azure's retirement list" in create("standard_d2_v2").log
    assert "retirement" not in create("standard_d2s_v5", pool_id="other").log


@pytest.mark.parametrize(
    ("needs", "size"),
    [
        pytest.param({"cores": 4, "memory_gb": 16}, "Standard_D4s_v6", id="cores and memory"),
        pytest.param({"cores": "{{ 2 + 2 }}", "like": "*_d*s_v5"}, "Standard_D4as_v5", id="a template"),
        pytest.param({"disk_gb": 50, "like": "*_v5"}, "Standard_D2ds_v5", id="a local disk"),
        pytest.param({"gpus": 1}, "Standard_NC4as_T4_v3", id="a graphics processor"),
    ],
)
def test_the_smallest_size_that_has_what_is_needed_is_taken(
    managed: BatchAccount, needs: dict[str, Any], size: str
) -> None:
    run = create(needs)

    assert run.result["vm_size"] == size, run.message
    pool = managed.hook.find_pool("etl")
    assert pool is not None
    assert f"VM size {size}, of " in run.log


def test_the_image_fits_the_size_that_was_chosen(managed: BatchAccount) -> None:
    run = create({"cores": 2, "like": "standard_d2_v2"})

    assert run.result["image"]["sku"] == "server-gen1"


def test_a_size_that_no_image_fits_is_passed_over(managed: BatchAccount) -> None:
    run = create(["standard_d2_v2", "standard_d2s_v5"], image="ubuntu 24.04 gen2")

    assert "VM size 'standard_d2_v2' is not used: no image of 'ubuntu 24.04 gen2' fits it." in run.log
    assert run.result["vm_size"] == "standard_d2s_v5"


def test_all_that_keeps_a_size_from_its_nodes_is_told(managed: BatchAccount) -> None:
    managed.control.set_quota(dedicated_cores=1, pools=0)

    run = create(["standard_d16s_v5", "standard_d2s_v5"])

    assert isinstance(run.error, BatchQuotaError)
    assert "  standard_d16s_v5: The account's quota of pools is used up: 0 of 0." in run.shown
    assert "wants 16" in run.message


def test_a_size_that_the_region_has_not_is_passed_over(managed: BatchAccount) -> None:
    run = create(["standard_d2s_v99", "standard_d2s_v5"])

    assert run.result["vm_size"] == "standard_d2s_v5"
    assert "VM size 'standard_d2s_v99' is not used: vm_size='standard_d2s_v99' is not a VM size" in run.log


def test_a_size_that_ends_too_soon_is_passed_over(managed: BatchAccount) -> None:
    run = create(["standard_a2_v2", "standard_d2s_v5"], expires_in=timedelta(days=3650), preflight=True)

    assert run.result["vm_size"] == "standard_d2s_v5"
    assert "is retired by Batch" in run.log


def test_a_size_that_the_quota_has_no_cores_for_is_passed_over(managed: BatchAccount) -> None:
    managed.control.set_quota(dedicated_cores=3)

    run = create(["standard_d16s_v5", "standard_d2s_v5"])

    assert run.result["vm_size"] == "standard_d2s_v5"
    assert "wants 16 dedicated cores" in run.log


def test_where_quotas_allow_none_it_can_be_tried_again_later(managed: BatchAccount) -> None:
    managed.control.set_quota(dedicated_cores=1)

    run = create(["standard_d16s_v5", "standard_d2s_v5"])

    assert isinstance(run.error, BatchQuotaError)
    assert "Pool 'etl' was not created: none of 2 VM sizes is suitable." in run.message
    assert "standard_d16s_v5: dedicated_nodes=1 on vm_size='standard_d16s_v5' wants 16" in run.message
    assert managed.pools() == []


def test_needs_that_no_size_meets_are_told(managed: BatchAccount) -> None:
    run = create({"cores": 512})

    assert run.message == (
        "Pool 'etl' was not created: vm_size requires cores 512, and Batch offers none in 'westeurope'. "
        "Require less."
    )


def test_a_retry_keeps_the_pool_whatever_is_best_by_then(managed: BatchAccount) -> None:
    sizes = ["standard_d16s_v5", "standard_d2s_v5"]
    managed.control.set_quota(dedicated_cores=3)
    first = create(sizes)
    managed.control.set_quota(dedicated_cores=None)

    again = create(sizes)

    assert (first.result["created"], again.result["created"]) == (True, False)
    assert again.result["vm_size"] == "standard_d2s_v5"
    assert "differ" not in again.log


@pytest.mark.parametrize("preflight", [None, False])
def test_the_first_of_several_is_taken_where_nothing_is_known(
    account: BatchAccount, preflight: bool | None
) -> None:
    run = create(["standard_d2s_v5", "standard_d4s_v5"], preflight=preflight)

    assert run.result["vm_size"] == "standard_d2s_v5"


def test_needs_take_a_connection_to_the_management_plane(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, secure_emulator, ca_file=str(secure_emulator.ca))

    run = create({"cores": 2})

    assert run.message == (
        "vm_size needs the management plane, for which the connection lacks an Entra identity "
        "(auth), subscription_id, resource_group."
    )
    assert BatchAccount(secure_emulator).requests() == []


def test_what_is_wrong_with_a_size_is_told_with_all_other_problems(account: BatchAccount) -> None:
    run = create({"cores": "many"}, dedicated_nodes="few")

    assert "vm_size.cores='many' is not a whole number from 0 up." in run.message
    assert "dedicated_nodes" in run.message
