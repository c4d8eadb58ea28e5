"""The logs of node agents are uploaded to a container, by operator, hook and command."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.secrets.metastore import MetastoreBackend

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.core.nodes.logs import LogRequest
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.operators.nodes import BatchLinuxUploadNodeLogsOperator
from tests.airflow_harness import run_task
from tests.batch_account import eventually
from tests.unit.storage import Storage


def upload(**options: Any) -> BatchLinuxUploadNodeLogsOperator:
    return BatchLinuxUploadNodeLogsOperator(
        task_id="logs", **{"pool_id": "etl", "container": "abfs://logs", **options}
    )


def _has(names: Callable[[], list[str]], number: int) -> bool:
    return len(names()) == number


def test_the_broken_nodes_upload_their_logs(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    node = storage.account.put_node("unusable")
    storage.account.control.set_node("etl", node, "starttaskfailed", None)

    run = run_task(upload())
    assert run.state == "failed"
    assert "Could not find container 'logs'" in str(run.error)
    logs = storage.container("logs")

    run = run_task(upload())
    assert run.state == "success", run.error
    [by_operator] = run.xcoms["return_value"]
    [by_hook] = BatchLinuxHook().upload_node_logs("etl", "abfs://logs")
    capsys.readouterr()
    assert main(["nodes", "upload-logs", "etl", node, "--to", "abfs://logs", "--json"]) == 0
    [by_command] = json.loads(capsys.readouterr().out)

    for found in (by_operator, by_hook, by_command):
        assert (found["node_id"], found["files"]) == (node, 4)
        uploaded = partial(logs.names, found["directory"])
        eventually(partial(_has, uploaded, found["files"]))


def test_the_command_finds_the_connection_to_storage_in_the_database_of_airflow(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = storage.account.put_node("unusable")
    storage.container("logs")
    found = {
        "stored": Connection(conn_id="stored", conn_type="wasb", host=storage.endpoint, password=storage.key)
    }.get
    monkeypatch.setattr(MetastoreBackend, "get_connection", lambda _, conn_id, **__: found(conn_id))

    command = ["nodes", "upload-logs", "etl", node, "--to", "abfs://logs", "--json", "--storage-conn"]
    capsys.readouterr()  # what Airflow 3.1 has logged until now
    assert main([*command, "stored"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["node_id"] == node
    assert main([*command, "absent"]) == 1
    assert "Connection 'absent' to Azure Storage is not defined" in capsys.readouterr().err


def test_an_upload_of_no_node_does_not_look_like_success(storage: Storage) -> None:
    run = run_task(upload())
    assert run.state == "failed"
    assert "no nodes in state starttaskfailed or unusable, so there is nothing to upload" in run.message
    assert run_task(upload(allow_empty=True)).state == "success"
    assert main(["nodes", "upload-logs", "etl", "--to", "abfs://logs"]) == 1


@pytest.mark.parametrize("place", ["abfs://logs/folder", "https://example.com/logs"])
def test_only_a_container_is_accepted(place: str) -> None:
    with pytest.raises(ValueError, match="is not a container"):
        LogRequest.of(place, "wasb_default", None, 60)
