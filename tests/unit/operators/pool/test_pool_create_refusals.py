"""The operator that makes a pool, when it cannot: what it says, and that nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchQuotaError,
    BatchRequestError,
    BatchUnreachableError,
)
from tests.airflow_harness import run_task
from tests.conftest import set_connection
from tests.unit.operators.pool.test_pool_create import create

WRONG_KEY = "d3Jvbmcga2V5"


@pytest.mark.parametrize(
    ("image", "near_miss"),
    [
        pytest.param("ubuntu 26.04", "canonical:ubuntu-24_04-lts:server", id="no such version"),
        pytest.param("almalinux 10", "almalinux:almalinux-x86_64:9-gen2", id="not offered yet"),
        pytest.param(
            "canonical:ubuntu-24_04-lts:desktop", "canonical:ubuntu-24_04-lts:server", id="no such sku"
        ),
    ],
)
def test_an_image_that_matches_nothing_fails_with_the_nearest_offers(account, image, near_miss):
    run = run_task(create(pool_id="etl", image=image))

    assert run.state == "failed"
    assert near_miss in run.message
    assert account.pools() == []


@pytest.mark.parametrize(
    "pool_id",
    [
        pytest.param("two words", id="space"),
        pytest.param("etl.2026", id="dot"),
        pytest.param("p" * 65, id="too long"),
    ],
)
def test_an_id_that_the_service_would_refuse_is_refused_before_any_request(account, pool_id):
    run = run_task(create(pool_id=pool_id))

    assert isinstance(run.error, ValueError)
    assert repr(pool_id) in run.message
    assert account.requests() == []


def test_all_problems_are_named_at_once_before_any_request(account):
    wrong: dict[str, Any] = {
        "pool_id": "two words",
        "vm_size": {"cores": "many"},
        "dedicated_nodes": "few",
        "ssh_from": ["everywhere"],
        "metadata": {"airflow_batchlinux_mine": "x"},
        "task_slots_per_node": "x",
        "image": {"offer": "ubuntu"},
    }
    run = run_task(create(**wrong))

    lines = run.shown.splitlines()
    assert len(lines) >= len(wrong)
    for name in ("pool_id", "vm_size", "dedicated_nodes", "ssh_from", "metadata", "task_slots_per_node"):
        assert any(line.startswith(name) for line in lines), name
    assert account.requests() == []


def test_a_wrong_key_fails_with_a_remedy_and_is_not_repeated(account, monkeypatch):
    set_connection(monkeypatch, account.service, key=WRONG_KEY)

    run = run_task(create(pool_id="etl"))

    assert isinstance(run.error, BatchAuthenticationError)
    assert run.error.code == "AuthenticationFailed"
    assert "Check the account name and key" in run.message
    assert WRONG_KEY not in run.everything_said
    assert len(account.requests()) == 1


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1", id="no server"),
        pytest.param("http://account.region.batch.invalid", id="no such name"),
    ],
)
def test_a_wrong_url_fails_with_a_sentence_after_the_retry_budget(account, monkeypatch, url):
    set_connection(monkeypatch, account.service, account_url=url)

    run = run_task(create(pool_id="etl"))

    assert isinstance(run.error, BatchUnreachableError)
    assert run.message.startswith("Could not list supported images: no answer from the service for ")
    assert run.message.endswith("Check account_url, name resolution and the firewall.")
    assert account.service.key not in run.everything_said


def test_a_service_that_is_down_fails_after_the_retry_budget_and_leaves_nothing(account):
    account.control.inject("POST", "/pools$", times=None, status=503, code="ServerBusy")

    run = run_task(create(pool_id="etl"))

    assert isinstance(run.error, BatchUnreachableError)
    assert run.message.startswith("Could not create pool 'etl': The server is busy.")
    assert "ServerBusy, HTTP 503, request " in run.message
    assert account.pools() == []


def test_a_throttled_create_is_tried_again(account, monkeypatch):
    set_connection(monkeypatch, account.service, retry_budget=10)
    account.control.inject("POST", "/pools$", code="TooManyRequests", retry_after=0.5)

    run = run_task(create(pool_id="etl"))

    assert run.result["created"] is True
    assert account.requests().count("POST /pools") == 2


def test_a_used_up_pool_quota_is_an_error_of_its_own_with_its_remedy(account):
    account.control.set_quota(pools=0)

    run = run_task(create(pool_id="etl", quota_limit=None))

    assert isinstance(run.error, BatchQuotaError)
    assert "PoolQuotaReached" in run.message
    assert "Delete pools that are no longer used, or ask for a higher pool quota." in run.message


def test_a_refusal_names_the_code_the_request_and_what_the_service_said(account):
    run = run_task(create(pool_id="etl", vm_size="a fast one"))

    assert isinstance(run.error, BatchRequestError)
    assert run.error.code == "InvalidPropertyValue"
    assert run.error.status == 400
    assert f"(InvalidPropertyValue, HTTP 400, request {run.error.request_id})" in run.message
    assert "vmSize" in run.message


def test_a_connection_that_cannot_work_is_named_with_all_its_problems(account, monkeypatch):
    set_connection(monkeypatch, account.service, account_url="batch", retry_budget="soon")

    run = run_task(create(pool_id="etl"))

    assert run.message.startswith("Connection 'azure_batch_linux_default' cannot be used:")
    assert "account_url='batch' is not a URL" in run.message
    assert "retry_budget='soon' is not a number of seconds." in run.message
    assert account.requests() == []


def test_nothing_that_is_stored_or_shown_holds_the_account_key(account):
    run = run_task(create(pool_id="etl", dedicated_nodes=1))

    assert run.state == "success"
    assert account.service.key not in run.everything_said
