"""The operator that makes a pool takes its REST body, as a dict or as a file that is a template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG

from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import RUN_ID, TaskRun, run_task
from tests.batch_account import NODE_AGENT, UBUNTU
from tests.unit.operators.pool.test_pool_create import body_of

BODY: dict[str, Any] = {
    "id": "etl",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": "ubuntu 24.04"},
    "targetDedicatedNodes": 0,
    "metadata": [{"name": "team", "value": "etl"}],
}
FILE = """
# The pool of the ETL
vmSize: standard_d2s_v5
virtualMachineConfiguration:
  imageReference: ubuntu 24.04
targetLowPriorityNodes: {{ params.nodes }}
userAccounts:
- {name: etl, password: "{{ params.word }}"}
metadata:
- {name: run, value: "{{ run_id }}"}
"""
WORD = "correct-horse-battery"


def create(**options: Any) -> BatchLinuxCreatePoolOperator:
    return BatchLinuxCreatePoolOperator(task_id="create", **options)


def run_beside(folder: Path, **options: Any) -> TaskRun:
    with DAG("files", schedule=None, template_searchpath=str(folder)):
        operator = create(**options)
    return run_task(operator)


def test_a_body_is_sent_with_the_image_resolved_and_the_marks_added(account):
    run = run_task(create(body=BODY))

    pool = body_of(account, "etl")
    machine = pool["virtualMachineConfiguration"]
    assert run.result["created"] is True
    assert machine["imageReference"] == {**UBUNTU, "version": "latest"}
    assert machine["nodeAgentSKUId"] == NODE_AGENT
    assert metadata_of(pool)["team"] == "etl"
    assert metadata_of(pool)["airflow_batchlinux_task_id"] == "create"


@pytest.mark.parametrize(
    ("machine", "image"),
    [
        pytest.param({"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT}, None, id="named in full"),
        pytest.param({"imageReference": UBUNTU}, None, id="without its node agent"),
        pytest.param({"imageReference": "canonical:ubuntu-24_04-lts:server"}, None, id="as text"),
        pytest.param({}, "ubuntu 24.04", id="beside the body"),
    ],
)
def test_the_image_may_be_written_in_every_way(account, machine, image):
    run = run_task(create(body={**BODY, "virtualMachineConfiguration": machine}, image=image))

    assert run.result["node_agent_sku"] == NODE_AGENT


def test_a_retry_finds_the_pool_of_its_body(account):
    runs = [run_task(create(body=BODY), try_number=number) for number in (1, 2)]

    assert [run.result["created"] for run in runs] == [True, False]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        pytest.param("etl.yaml", FILE, id="YAML"),
        pytest.param(
            "etl.json", json.dumps(yaml.safe_load(FILE.replace("{{ params.nodes }}", "1"))), id="JSON"
        ),
    ],
)
def test_a_file_is_rendered_and_sent(account, tmp_path, name, written):
    (tmp_path / name).write_text(written)
    run = run_beside(tmp_path, body=name, pool_id="{{ task.task_id }}", params={"nodes": 1, "word": WORD})

    pool = body_of(account, "create")
    assert run.result["pool_id"] == "create"
    assert pool["targetLowPriorityNodes"] == 1
    assert metadata_of(pool)["run"] == RUN_ID


def test_a_file_is_not_stored_so_no_secret_in_it_is_either(account, tmp_path):
    (tmp_path / "etl.yaml").write_text(FILE.replace("{{ params.word }}", WORD))
    run = run_beside(tmp_path, body="etl.yaml", params={"nodes": 0})

    assert run.state == "success"
    assert run.rendered["body"] == "etl.yaml"
    assert WORD not in run.everything_said


def test_a_file_may_include_another(account, tmp_path):
    (tmp_path / "machine.yaml").write_text("vmSize: standard_d2s_v5\n")
    rest = "targetDedicatedNodes: 0\nvirtualMachineConfiguration: {imageReference: ubuntu 24.04}\n"
    (tmp_path / "etl.yml").write_text("{% include 'machine.yaml' %}\n" + rest)

    assert run_beside(tmp_path, body="etl.yml", pool_id="etl").state == "success"


@pytest.mark.parametrize(
    ("name", "written", "problem"),
    [
        pytest.param("no.yaml", None, "body='no.yaml' is not found beside the Dag file", id="no file"),
        pytest.param(
            "etl.txt",
            "",
            "The value of body is not a mapping of properties, or the name of a file",
            id="another kind",
        ),
        pytest.param(
            "etl.yaml", "- a\n- b", "body='etl.yaml' contains no mapping of properties.", id="a list"
        ),
        pytest.param(
            "etl.yaml", f"a: 1\nb: [{WORD}", "body='etl.yaml' is not YAML from line 2 on.", id="broken YAML"
        ),
        pytest.param(
            "etl.json", f'{{"a": "{WORD}",}}', "body='etl.json' is not JSON from line 1 on.", id="broken JSON"
        ),
    ],
)
def test_a_file_that_holds_no_body_is_named_without_its_text(account, tmp_path, name, written, problem):
    if written is not None:
        (tmp_path / name).write_text(written)
    run = run_beside(tmp_path, body=name)

    assert run.message.startswith(problem)
    assert WORD not in run.everything_said
    assert account.requests() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"vmSize": 3}, "body.vmSize=3 is not text", id="type"),
        pytest.param({"id": "a b"}, "pool_id='a b' contains characters", id="id"),
        pytest.param(
            {"virtualMachineConfiguration": None}, "body.virtualMachineConfiguration", id="no machine"
        ),
        pytest.param(
            {"virtualMachineConfiguration": {}}, "imageReference is missing; write it there", id="no image"
        ),
        pytest.param(
            {"virtualMachineConfiguration": {"imageReference": "plan 9"}}, "no known distribution", id="image"
        ),
        pytest.param(
            {"metadata": [{"name": "airflow_batchlinux_x", "value": "1"}]},
            "reserved for the provider",
            id="marks",
        ),
    ],
)
def test_a_body_that_the_service_would_refuse_is_refused_before_any_request(account, change, problem):
    run = run_task(create(body={**BODY, **change}))

    assert problem in run.message
    assert account.requests() == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        pytest.param(
            {"taskSlots": 2},
            "body.taskSlots is not a known property of the service; did you mean 'taskSlotsPerNode'?",
            id="property",
        ),
        pytest.param({"upgradePolicy": {"mode": "gentle"}}, "mode='gentle' is none of", id="value"),
    ],
)
def test_an_unknown_property_or_value_is_sent_with_a_warning(account, change, warning):
    run = run_task(create(body={**BODY, **change}))

    assert warning in run.log
    assert "It is sent to the service as it is." in run.log
    # The embedded service knows no more than this provider, and refuses it as Batch would.
    assert account.requests()[-1] == "POST /pools"
    assert isinstance(run.error, BatchRequestError)
    assert run.error.code in ("InvalidRequestBody", "InvalidPropertyValue")


def test_two_ids_that_differ_are_named(account):
    run = run_task(create(body=BODY, pool_id="other"))

    assert run.message == "pool_id='other' and body.id='etl' differ."


def test_two_images_are_named(account):
    run = run_task(create(body=BODY, image="debian 12"))

    assert "are both given; leave out one of them." in run.message
