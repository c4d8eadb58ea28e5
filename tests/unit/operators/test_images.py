"""The operator that finds pools on images that go out of support."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batchlinux.exceptions import ImageEndOfSupportError
from airflow_provider_batchlinux.operators.images import BatchLinuxCheckImagesOperator
from tests.airflow_harness import ExecutionApi, run_task
from tests.batch_account import BatchAccount

ENDED = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-focal", "sku": "20_04-lts"}
AGENT = "batch.node.ubuntu 20.04"


def operator(**options: Any) -> BatchLinuxCheckImagesOperator:
    return BatchLinuxCheckImagesOperator(task_id="images", **options)


@pytest.fixture
def ended_pool(account: BatchAccount) -> str:
    """Give a pool on an image whose support is over, beside one on an image without an end."""
    account.make_pool("fresh")
    body = {
        "id": "old",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {"imageReference": ENDED, "nodeAgentSKUId": AGENT},
    }
    account.hook.run(lambda client: client.create_pool(body))
    return "old"


def test_a_pool_on_an_ended_image_fails_the_task_with_its_name(ended_pool: str) -> None:
    run = run_task(operator())

    assert run.state == "failed"
    assert f"Pool {ended_pool!r} uses canonical:0001-com-ubuntu-server-focal:20_04-lts" in run.message
    assert "1 of 2 pools uses an image that is about to reach end of support:" in run.message
    assert isinstance(run.error, ImageEndOfSupportError)
    assert isinstance(run.error, AirflowFailException)
    assert run.error.pool_ids == [ended_pool]
    assert run.result["checked"] == 2
    assert [image["pool_id"] for image in run.result["ending"]] == [ended_pool]


@pytest.mark.usefixtures("ended_pool")
def test_a_result_that_cannot_be_stored_does_not_change_how_the_task_fails() -> None:
    run = run_task(operator(), api=ExecutionApi(refusals=1))

    assert "1 of 2 pools" in run.message
    assert "The result of the failing task could not be stored." in run.log


def test_a_warning_is_enough_when_that_is_asked(ended_pool: str) -> None:
    run = run_task(operator(on_ending="warn"))

    assert run.state == "success"
    assert [image["pool_id"] for image in run.result["ending"]] == [ended_pool]
    assert run.result["checked"] == 2
    assert "which the service no longer lists" in run.log


@pytest.mark.usefixtures("ended_pool")
def test_only_the_named_pools_are_looked_at() -> None:
    assert run_task(operator(pool_ids=["FRESH"])).result == {"checked": 1, "ending": []}


@pytest.mark.usefixtures("account")
def test_an_account_without_pools_is_fine() -> None:
    assert run_task(operator(warn_before=timedelta(days=1))).result == {"checked": 0, "ending": []}


@pytest.mark.usefixtures("account")
def test_an_empty_list_of_pools_fails_unless_that_is_allowed() -> None:
    assert "pool_ids is an empty list" in run_task(operator(pool_ids="[]")).message
    assert run_task(operator(pool_ids=[], allow_empty=True)).result == {"checked": 0, "ending": []}


def test_a_pool_that_does_not_exist_is_not_left_out_in_silence(account: BatchAccount) -> None:
    run = run_task(operator(pool_ids=["etl", "elt"]))

    assert "pool_ids names 'etl', 'elt', but the account has no such pool" in run.message
