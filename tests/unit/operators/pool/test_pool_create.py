"""The operator that makes a pool: what it makes, what it returns, and how a retry finds its own pool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pendulum
import pytest

from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.exceptions import BatchConflictError, WaitTimeoutError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import RUN_ID, run_task
from tests.batch_account import NODE_AGENT, UBUNTU, BatchAccount, eventually
from tests.conftest import set_connection

EXPLICIT = {**UBUNTU, "node_agent_sku": NODE_AGENT}


def create(**options: Any) -> BatchLinuxCreatePoolOperator:
    defaults = {"task_id": "create", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
    return BatchLinuxCreatePoolOperator(**{**defaults, **options})


def body_of(account: BatchAccount, pool_id: str) -> Any:
    return account.hook.run(lambda client: client.find_pool_body(pool_id))


def test_the_result_names_the_pool_and_its_image(account):
    run = run_task(create(pool_id="etl"))

    assert run.result == {
        "pool_id": "etl",
        "created": True,
        "changed": [],
        "requested_at": None,
        "vm_size": "standard_d2s_v5",
        "image": {**UBUNTU, "version": "latest"},
        "node_agent_sku": NODE_AGENT,
        "image_end_of_support": None,
    }
    assert account.pools() == ["etl"]


def test_every_part_of_the_result_has_its_own_key_in_xcom(account):
    run = run_task(create(pool_id="etl"))

    assert {name: run.xcoms[name] for name in run.result} == run.result


def test_the_end_of_support_is_told_where_the_service_names_one(account):
    run = run_task(create(pool_id="etl", image="ubuntu 22.04"))

    assert run.result["image_end_of_support"] == "2027-06-30T00:00:00+00:00"


def test_the_pool_is_what_was_asked_for(account):
    options = {
        "dedicated_nodes": 2,
        "spot_nodes": 1,
        "task_slots_per_node": 4,
        "metadata": {"team": "flights"},
        "ssh_from": ["203.0.113.0/24"],
        "resize_timeout": pendulum.duration(minutes=10),
    }
    run_task(create(pool_id="etl", **options))

    pool = body_of(account, "etl")
    [nat_pool] = pool["networkConfiguration"]["endpointConfiguration"]["inboundNATPools"]
    allowed = [rule["sourceAddressPrefix"] for rule in nat_pool["networkSecurityGroupRules"]]
    assert (pool["targetDedicatedNodes"], pool["targetLowPriorityNodes"]) == (2, 1)
    assert (pool["taskSlotsPerNode"], pool["resizeTimeout"]) == (4, "PT10M")
    assert metadata_of(pool)["team"] == "flights"
    assert (nat_pool["backendPort"], allowed) == (22, ["203.0.113.0/24", "*"])


def test_the_pool_tells_what_made_it_and_until_when_it_is_wanted(account):
    earliest = datetime.now(timezone.utc) + timedelta(hours=2)
    run_task(create(pool_id="etl", expires_in=pendulum.duration(hours=2)), map_index=3)

    marks = metadata_of(body_of(account, "etl"))
    expires_at = parse_instant(marks["airflow_batchlinux_expires_at"])
    assert expires_at is not None
    names = ("dag_id", "run_id", "task_id", "map_index")
    assert [marks[f"airflow_batchlinux_{name}"] for name in names] == ["harness", RUN_ID, "create", "3"]
    assert timedelta(0) <= expires_at - earliest < timedelta(minutes=1)


def test_fields_are_templated(account):
    fields = {"pool_id": "etl-{{ task.task_id }}", "metadata": {"run": "{{ run_id }}"}}
    run = run_task(create(**fields, image="{{ 'ubuntu' }} 24.04", start_task="echo {{ run_id }}"))

    marks = metadata_of(body_of(account, "etl-create"))
    assert run.result["pool_id"] == "etl-create"
    assert marks["run"] == RUN_ID


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("echo plain", id="plain"),
        pytest.param("echo 'single' \"double $HOME\" \\\\ `uname` $(id -u)", id="quotes"),
        pytest.param('set -e\nfor word in a b; do\n  echo "it\'s $word"\ndone', id="lines"),
    ],
)
def test_the_start_task_runs_as_it_would_at_a_bash_prompt(account, command):
    check = f'{command}\n[ "$FLAVOUR" = "it\'s sweet" ] || exit 7'
    environment = {"FLAVOUR": "it's sweet"}
    run_task(create(pool_id="etl", dedicated_nodes=1, start_task=check, start_task_environment=environment))

    eventually(lambda: account.hook.node_counts("etl") in ({"idle": 1}, {"starttaskfailed": 1}))
    assert account.hook.node_counts("etl") == {"idle": 1}


@pytest.mark.parametrize(
    "image", [pytest.param("ubuntu 24.04", id="resolved"), pytest.param(EXPLICIT, id="explicit")]
)
def test_a_create_costs_two_requests(account, image):
    run_task(create(pool_id="etl", image=image))

    assert account.requests() == ["GET /supportedimages", "POST /pools"]


def test_without_a_pool_id_every_try_derives_the_same_one(account):
    runs = [run_task(create(dedicated_nodes=1), try_number=number) for number in (1, 2)]

    assert [run.result["created"] for run in runs] == [True, False]
    assert account.pools() == [runs[0].result["pool_id"]] == [runs[1].result["pool_id"]]


def test_without_a_pool_id_mapped_task_instances_have_pools_of_their_own(account):
    runs = [run_task(create(), map_index=index) for index in (0, 1)]

    assert sorted(run.result["pool_id"] for run in runs) == sorted(account.pools())
    assert len(account.pools()) == 2


@pytest.mark.parametrize(
    "image", [pytest.param("ubuntu 24.04", id="resolved"), pytest.param(EXPLICIT, id="explicit")]
)
def test_a_retry_finds_its_own_pool_and_tells_the_same_of_it(account, image):
    first = run_task(create(pool_id="etl", image=image, expires_in=timedelta(hours=1)))
    second = run_task(create(pool_id="etl", image=image, expires_in=timedelta(hours=1)), try_number=2)

    assert second.result == {**first.result, "created": False}


def test_a_create_whose_answer_is_lost_finds_the_pool_it_made(account, monkeypatch):
    set_connection(monkeypatch, account.service, retry_budget=10)
    account.control.inject("POST", "/pools$", drop="after")

    run = run_task(create(pool_id="etl"))

    assert run.state == "success"
    assert account.pools() == ["etl"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dedicated_nodes": 2}, id="more nodes"),
        pytest.param({"vm_size": "standard_d4s_v5"}, id="other size"),
        pytest.param({"image": "ubuntu 22.04"}, id="other image"),
        pytest.param({"start_task": "apt-get install -y jq"}, id="start task"),
    ],
)
def test_a_pool_made_from_another_spec_is_left_alone_and_named_with_its_owner(account, change):
    run_task(create(pool_id="etl", dedicated_nodes=1))

    run = run_task(create(pool_id="etl", **{"dedicated_nodes": 1, **change}))

    assert isinstance(run.error, BatchConflictError)
    assert run.message.startswith("Pool 'etl' exists, created by dag_id 'harness'")
    assert "from another specification:" in run.message
    assert "Choose another pool_id, delete that pool first, or set if_exists to another value." in run.message
    assert account.hook.find_pool("etl").target == 1


def test_a_pool_of_another_client_is_not_adopted(account):
    account.make_pool("etl")

    run = run_task(create(pool_id="etl"))

    assert isinstance(run.error, BatchConflictError)
    assert "not by this provider" in run.message


def test_a_pool_that_is_being_deleted_is_waited_for_and_created_again(slow_account):
    control = slow_account.control
    slow_account.make_pool("etl")
    slow_account.hook.delete_pool("etl")

    def has_found_the_pool_after_the_refusal() -> bool:
        answers = [(request["method"], request["status"]) for request in control.requests()]
        return ("POST", 409) in answers and ("GET", 200) in answers[answers.index(("POST", 409)) :]

    def let_time_pass_after_the_refusal() -> None:
        eventually(has_found_the_pool_after_the_refusal)
        control.advance(60)

    with ThreadPoolExecutor() as threads:
        passing = threads.submit(let_time_pass_after_the_refusal)
        run = run_task(create(poll_interval=0.02, pool_id="etl"))
        passing.result()

    assert run.result["created"] is True
    assert "Pool 'etl' is still being deleted." in run.log


def test_a_deletion_that_takes_too_long_fails_with_what_may_hold_it_up(slow_account):
    slow_account.make_pool("etl")
    slow_account.hook.delete_pool("etl")

    run = run_task(create(pool_id="etl", deletion_limit=0.05))

    assert isinstance(run.error, WaitTimeoutError)
    assert "Pool 'etl' is deleting; a resource lock can hold this up." in run.message
