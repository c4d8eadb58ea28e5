"""The data of a command: blobs that its node downloads and uploads, by each kind of credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from azure.storage.blob import BlobServiceClient

from airflow_provider_batchlinux.specs import InputSpec, OutputSpec
from tests.airflow_harness import run_to_end
from tests.unit.commands import Loop, defer, finish, operator
from tests.unit.storage import Storage, task_of

COPY = "cat in.txt; tr a-z A-Z < in.txt > out.txt"


CREDENTIALS: dict[str, Callable[[Storage], None]] = {
    "wasb key": lambda to: to.connect(login="batchlinuxstorage", password=to.key),
    "wasb shared_access_key": lambda to: to.connect(extra={"shared_access_key": to.key}),
    "wasb SAS": lambda to: to.connect(extra={"sas_token": "?" + to.container("raw").url.partition("?")[2]}),
    "wasb connection string": lambda to: to.connect(
        host="",
        extra={"connection_string": f"BlobEndpoint={to.endpoint};AccountKey={to.key}"},
    ),
    "adls key": lambda to: to.connect(conn_type="adls", login="batchlinuxstorage", password=to.key),
}


@pytest.mark.parametrize("way", CREDENTIALS)
def test_a_command_reads_and_writes_blobs_by_each_kind_of_connection(storage: Storage, way: str) -> None:
    raw = storage.container("raw")
    raw.put("day/in.txt", b"hello")
    CREDENTIALS[way](storage)

    done = run_to_end(
        operator(
            COPY,
            inputs={"in.txt": "abfs://raw/day/in.txt"},
            outputs={"out.txt": "wasbs://raw/{{ 'day' }}/out.txt"},
            delete_job="never",
        )
    )

    assert done.state == "success", done.error
    assert raw.get("day/out.txt") == b"HELLO"
    task = task_of(storage.account, done.result["job_id"])
    for secret in (storage.key, task["resourceFiles"][0]["httpUrl"].partition("?")[2]):
        assert secret not in done.everything_said
    assert storage.key not in json.dumps(task)


def test_an_identity_of_the_pool_replaces_all_tokens(storage: Storage) -> None:
    raw = storage.container("raw")
    raw.put("in.txt", b"hello")

    done = run_to_end(
        operator(
            f"{COPY}; printf %s $TOKEN >> out.txt",
            inputs={"in.txt": "abfs://raw/in.txt"},
            outputs={"out.txt": "abfs://raw/out.txt"},
            secret_environment={"TOKEN": "s3cret-token"},
            secret_storage="abfs://raw/secrets/",
            storage_identity="/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/"
            "userAssignedIdentities/etl",
            delete_job="never",
        )
    )

    assert done.state == "success", done.error
    assert raw.get("out.txt") == b"HELLOs3cret-token"
    assert raw.names() == ["in.txt", "out.txt"]
    assert "sig=" not in json.dumps(task_of(storage.account, done.result["job_id"]))


def test_places_are_written_in_each_form(storage: Storage) -> None:
    raw, clean = storage.container("raw"), storage.container("clean")
    raw.put("in.txt", b"hello")
    for name in ("2026/a.csv", "2026/b.csv", "2027/c.csv"):
        raw.put(name, name.encode())

    task = operator(
        "cat in.txt also.txt again.txt; ls -R parts; mkdir -p out/deep; "
        "touch out/1.csv out/deep/2.csv out/3.txt; echo a report > report.txt",
        inputs={
            "in.txt": ObjectStoragePath("abfs://wasb_default@raw/in.txt"),
            "also.txt": Asset("abfs://raw/in.txt"),
            "again.txt": f"{storage.endpoint}/raw/in.txt",
            "signed.txt": raw.blob_url("in.txt"),
            "run.sh": InputSpec("abfs://raw/in.txt", mode="0755"),
            "parts/": "abfs://raw/2026/",
        },
        outputs={
            "out/**/*.csv": OutputSpec(Asset("abfs://clean/tables/"), upload_on="success"),
            "report.txt": OutputSpec(ObjectStoragePath("abfs://clean/reports/")),
            "never.txt": OutputSpec("abfs://clean/never/", optional=True),
            "crash.txt": OutputSpec("abfs://clean/crash/", upload_on="failure"),
            "../std*.txt": OutputSpec("abfs://clean/logs/", upload_on="completion"),
        },
    )
    # The harness has no Assets to register them with.
    task.inlets, task.outlets = [], []
    done = run_to_end(task)

    assert done.state == "success", done.error
    assert "hellohellohello" in done.log
    assert "a.csv" in done.log
    assert "c.csv" not in done.log
    assert clean.names() == [
        "logs/stderr.txt",
        "logs/stdout.txt",
        "reports/report.txt",
        "tables/1.csv",
        "tables/deep/2.csv",
    ]


def test_a_command_with_outputs_runs_as_it_would_without(storage: Storage) -> None:
    storage.container("clean")
    options = {"outputs": {"out.txt": "abfs://clean/out.txt"}}

    failed = run_to_end(operator("touch out.txt; set -e; false; echo not reached", **options))
    exited = run_to_end(operator("touch out.txt; cd /; exit 0", **options))

    assert "exit code 1 on node" in failed.message
    assert "not reached" not in failed.log
    assert exited.state == "success", exited.error


FAULTS: dict[str, tuple[dict[str, Any] | Callable[[Storage], dict[str, Any]], str]] = {
    "no connection": (
        {"inputs": {"a": "abfs://raw/in.txt"}, "storage_conn_id": "nowhere"},
        "Connection 'nowhere' to Azure Storage is not defined. Add it in Airflow under Admin, Connections",
    ),
    "no URL": (
        {"inputs": {"a": "raw/in.txt"}},
        "inputs['a']: 'raw/in.txt' is not a URL of a blob: give abfs[s]://container/path",
    ),
    "no container": (
        {"outputs": {"a": "abfs://Raw_Data/in.txt"}},
        "'abfs://Raw_Data/in.txt' names no container: 'Raw_Data' is not 3 to 63 small letters",
    ),
    "other account": (
        {"inputs": {"a": "https://other.blob.core.windows.net/raw/in.txt"}},
        "is in another storage account than connection 'wasb_default' leads to",
    ),
    "output to the web": (
        {"outputs": {"a": "https://example.com/a"}},
        "outputs['a']: https://example.com/a is no place in Azure Storage",
    ),
    "expired SAS": (
        lambda to: {"inputs": {"a": to.container("raw", expires_in=-60).blob_url("in.txt")}},
        "raw/in.txt expired at ",
    ),
    "missing input": (
        {"inputs": {"a": "abfs://raw/no-such.txt"}},
        "An input does not exist, or was deleted after the submission.",
    ),
    "no right to read": (
        lambda to: {"inputs": {"a": to.container("raw", permissions="w").blob_url("in.txt")}},
        "Storage refused the download of an input: the SAS has expired, or is for another account",
    ),
    "no right to list": (
        lambda to: {"inputs": {"a": to.container("raw", permissions="r").url}},
        "Storage refused the list of an input's container",
    ),
    "no right to write": (
        lambda to: {"outputs": {"made": to.container("raw", permissions="r").blob_url("made")}},
        "Storage refused the upload of an output",
    ),
    "container of an output is missing": (
        {"outputs": {"made": "abfs://nowhere/made"}},
        "The container of an output does not exist: create it first.",
    ),
    "output after another code than 0": (
        {"outputs": {"made": "abfs://raw/made"}, "exit_codes": {9: "success"}},
        "exit_codes makes 9 a success, but outputs['made'] is uploaded, or looked for, after 0 only",
    ),
    "pattern without match": (
        {"outputs": {"out/*.csv": "abfs://raw/"}},
        "No file matches output 'out/*.csv' after the command has succeeded.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_storage_refuses_fails_in_words_without_a_secret(storage: Storage, fault: str) -> None:
    given, message = FAULTS[fault]
    storage.container("raw").put("in.txt", b"hello")

    options = given if isinstance(given, dict) else given(storage)
    done = run_to_end(operator("echo made > made; mkdir out", **options))

    assert message in done.message
    assert "sig=" not in done.everything_said.replace("sig=***", "").replace("sig=REDACTED", "")
    assert storage.account.jobs() == []


def test_an_asset_is_an_inlet_or_outlet(storage: Storage) -> None:
    raw, clean = Asset("abfs://raw/in.txt"), Asset("abfs://clean/out.txt")

    task = operator(
        COPY, inputs={"in.txt": raw}, outputs={"out.txt": clean, "log": OutputSpec("abfs://clean/log")}
    )

    assert (task.inlets, task.outlets) == ([raw], [clean])


def test_an_input_that_vanishes_before_the_start_fails_in_words(storage: Storage, loop: Loop) -> None:
    storage.container("raw").put("in.txt", b"hello")
    defer(loop.command)
    loop.wait_until_started()
    waiting = defer("cat in.txt", task_id="late", inputs={"in.txt": "abfs://raw/in.txt"})

    with BlobServiceClient(storage.endpoint, storage.key) as client:
        client.get_blob_client("raw", "in.txt").delete_blob()
    loop.go.touch()
    done = finish(waiting, task_id="late")

    assert "An input does not exist, or was deleted after the submission." in done.message


def test_after_a_preemption_inputs_and_secrets_are_read_and_outputs_written_again(
    storage: Storage, loop: Loop
) -> None:
    storage.account.idle_pool(2, pool_id="spot")
    raw, private = storage.container("raw"), storage.container("private")
    raw.put("in.txt", b"hello")
    deferred = defer(
        f'{loop.command}; echo "$(cat in.txt) $TOKEN on $AZ_BATCH_NODE_ID" > out.txt',
        pool_id="spot",
        inputs={"in.txt": "abfs://raw/in.txt"},
        outputs={"out.txt": "abfs://raw/out.txt"},
        secret_environment={"TOKEN": "s3cret-token"},
        secret_storage="abfs://private/",
    )
    loop.wait_until_started()
    [busy] = [node.node_id for node in storage.account.nodes("spot") if node.state == "running"]

    storage.account.control.set_node("spot", busy, "preempted")
    loop.wait_until_started(2)
    loop.go.touch()
    done = finish(deferred, pool_id="spot", secret_environment={"A": "b"}, secret_storage="abfs://private/")

    assert done.state == "success", done.error
    assert raw.get("out.txt").decode() == f"hello s3cret-token on {done.result['node_id']}\n"
    assert done.result["node_id"] != busy
    assert private.names() == []
