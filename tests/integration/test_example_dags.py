"""The example Dags, run through Airflow against the embedded service, and what they leave: nothing."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import enter
from airflow_provider_batchlinux.core.pool_metadata import (
    DELETE_JOB_KEY,
    METADATA_PREFIX,
    SUBMISSION_KEY,
    rest_metadata,
)
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from tests.airflow_harness import (
    load_dag,
    resume_task,
    run_dag,
    run_task,
    run_trigger,
    updated_assets,
    xcom_of,
)
from tests.batch_account import BatchAccount, eventually
from tests.conftest import INSTALLATION
from tests.management_plane import connect
from tests.warm_python import warm_python

EXAMPLES = Path(__file__).parents[2] / "example_dags"


def hurried(dag: DAG) -> DAG:
    """Let all waits of a Dag look often; the service here answers at once."""
    tasks: list[Any] = dag.tasks
    for task in tasks:
        options = task.partial_kwargs if task.is_mapped else vars(task)
        for name in ("poll_interval", "poke_interval"):
            if name in options:
                options[name] = 0.05
    return dag


def nothing_is_left(account: BatchAccount) -> None:
    eventually(lambda: (account.pools(), account.jobs()) == ([], []))


def test_the_linux_pool_is_made_used_and_taken_away(account):
    run = run_dag(hurried(load_dag(EXAMPLES / "example_linux_pool.py")))

    assert str(run.state) == "success"
    [created] = xcom_of(run, "create_pool")
    [ready] = xcom_of(run, "nodes_idle")
    [added] = xcom_of(run, "add_users")
    [work] = xcom_of(run, "work")
    [removed] = xcom_of(run, "remove_users")
    assert created["node_agent_sku"] == "batch.node.ubuntu 24.04"
    assert (ready["pool_id"], ready["nodes"]) == (created["pool_id"], {"idle": 3})
    assert [record["outcome"] for record in added] == ["added"] * 3
    assert all(record["ssh_command"] for record in added)
    assert work["exit_code"] == 0
    assert [record["outcome"] for record in removed] == ["removed"] * 3
    [deleted] = xcom_of(run, "delete_pool")
    assert (deleted["pool_id"], deleted["deleted"]) == (created["pool_id"], True)
    nothing_is_left(account)


def test_the_maintenance_tells_what_was_left_behind_and_keeps_it(account):
    account.make_pool("foreign")
    run = run_dag(load_dag(EXAMPLES / "example_maintenance.py"))

    assert str(run.state) == "success"
    [swept] = xcom_of(run, "sweep_pools")
    [checked] = xcom_of(run, "check_images")
    assert (swept["pools"], swept["kept"], swept["refused"], swept["deleted"]) == ([], [], [], 0)
    assert checked == {"checked": 1, "ending": []}
    assert account.pools() == ["foreign"]


def test_the_maintenance_removes_pools_jobs_and_users_of_runs_that_are_over(account):
    marks = {"dag_id": "etl", "run_id": "gone", "installation": INSTALLATION}
    named = rest_metadata({METADATA_PREFIX + name: value for name, value in marks.items()})
    account.make_pool("left")
    account.make_pool("foreign")
    job = {"id": "left", "poolInfo": {"poolId": "foreign"}}
    submitted = rest_metadata({SUBMISSION_KEY: "s", DELETE_JOB_KEY: "always"})
    user = LedgerEntry("nora", datetime(2026, 1, 1, tzinfo=timezone.utc), marks)

    async def leave(client: BatchLinuxClient) -> None:
        await client.update_pool("left", {"metadata": named})
        await client.create_job({**job, "metadata": [*named, *submitted]})
        await enter(client, "foreign", user, take_over=False)

    account.hook.run(leave)
    dag = load_dag(EXAMPLES / "example_maintenance.py")
    sweeper: Any = dag.get_task("sweep_pools")
    sweeper.delete = True

    run = run_dag(dag)

    assert str(run.state) == "success"
    [swept] = xcom_of(run, "sweep_pools")
    assert (swept["deleted"], swept["jobs_removed"], swept["users_removed"]) == (1, 1, 1)
    eventually(lambda: (account.pools(), account.jobs()) == (["foreign"], []))


def test_the_access_ends_in_time_and_leaves_no_user(account):
    account.idle_pool(2, ssh=True)
    dag = hurried(load_dag(EXAMPLES / "example_node_access.py"))
    lease: Any = dag.get_task("access")
    lease.expires_at, lease.expires_in = None, 4
    run = run_dag(dag)

    assert str(run.state) == "success"
    [access] = xcom_of(run, "access")
    [audit] = xcom_of(run, "who_has_access")
    assert (access["username"], access["ended"], access["removed"]) == ("colleague", "expired", 2)
    ended = (audit["users"], audit["overdue"], audit["revoked"], audit["owed"])
    assert ended == ([], 0, 0, [])


@pytest.mark.usefixtures("account")
def test_the_access_is_for_two_hours_from_the_start_of_the_run():
    lease: Any = load_dag(EXAMPLES / "example_node_access.py").get_task("access")
    run = run_task(lease)

    # The run of the harness began in the past, and so its two hours are over.
    assert "expires_at=2026-01-02T05:04:05+00:00 is not after now" in run.message


def test_a_chat_is_told_which_item_failed_and_why(account, monkeypatch):
    posted: list[Any] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(403 if len(posted) > 1 else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        connection = json.dumps({"conn_type": "http", "password": url})
        monkeypatch.setenv("AIRFLOW_CONN_CHAT_WEBHOOK", connection)
        check: Any = load_dag(EXAMPLES / "example_notifications.py").get_task("linux.check")
        item = check.unmap({"environment": {"DAY": "tue", "WRONG": "tue"}})
        item.pool_id = account.idle_pool(1)
        item.poll_interval = 0.05
        ended = run_task(item, map_index=1)
        if ended.deferral is not None:  # the command is not over yet
            ended = resume_task(item, ended, run_trigger(ended.deferral), map_index=1)
        [notifier] = item.on_failure_callback
        with pytest.raises(RuntimeError, match="403") as refusal:
            notifier.notify({})
        server.shutdown()

    assert ended.state == "failed"
    message = posted[0]["text"]
    assert message.startswith("example_notifications.linux.check tue: Task 'main' in job ")
    assert "failed: exit code 3 on node" in message
    assert "no rows" not in message, "What a command prints may be a secret."
    assert "/hook" not in str(refusal.value), "The URL is a secret."


def test_the_etl_spreads_a_week_of_flights_and_gets_the_totals_right(account):
    run = run_dag(hurried(load_dag(EXAMPLES / "example_etl.py")))

    assert str(run.state) == "success"
    names = sorted(ti.rendered_map_index for ti in run.get_task_instances() if ti.map_index >= 0)
    assert names == [f"2013-01-{day:02}.csv" for day in range(1, 8)]
    [totals] = xcom_of(run, "linux.load")
    days = xcom_of(run, "linux.transform")
    expected = {"flights": 6099, "miles": 6311846, "minutes_late": 74643, "cancelled": 56, "days": 7}
    assert {name: totals[name] for name in expected} == expected
    assert len(days) == 7
    assert len({day["job_id"] for day in days}) == 7
    nothing_is_left(account)


def test_the_python_functions_run_on_the_nodes_and_are_averaged(account):
    run = run_dag(hurried(load_dag(EXAMPLES / "example_python_functions.py")))

    assert str(run.state) == "success"
    estimates = xcom_of(run, "linux.estimate")
    [average] = xcom_of(run, "average")
    assert len(estimates) == 4
    assert average == pytest.approx(3.14, abs=0.02)
    nothing_is_left(account)


def test_the_parameter_sweep_finds_the_best(account):
    dag = hurried(load_dag(EXAMPLES / "example_parameter_sweep.py"))
    sweep: Any = dag.get_task("linux.sweep")
    assert len(sweep.items) == 500
    sweep.items = [item for item in sweep.items if item["rate"] in (16, 17, 18)]
    run = run_dag(dag)

    assert str(run.state) == "success"
    [swept] = xcom_of(run, "linux.sweep")
    [best] = xcom_of(run, "best")
    assert (swept["tasks"], swept["succeeded"]) == (30, 30)
    assert best == "00014-rate-17-depth-4"
    nothing_is_left(account)


def test_the_flights_of_each_airport_are_counted_before_all(account):
    run = run_dag(hurried(load_dag(EXAMPLES / "example_job.py")))

    assert str(run.state) == "success"
    [counted] = xcom_of(run, "linux.count")
    counts = {record["id"]: record["result"] for record in counted["records"]}
    assert counts["newark"] + counts["kennedy"] + counts["la-guardia"] == counts["all"] == 1785
    nothing_is_left(account)


def test_a_pipeline_of_containers_adds_up_the_flights(account):
    run = run_dag(hurried(load_dag(EXAMPLES / "example_containers.py")))

    assert str(run.state) == "success"
    [total] = xcom_of(run, "linux.total")
    assert total["result"] == 1785
    nothing_is_left(account)


def test_megabytes_go_from_blob_to_blob_and_the_assets_tell_it(account, monkeypatch):
    storage = account.service.storage
    value = {"conn_type": "wasb", "host": storage.endpoint, "password": storage.key}
    monkeypatch.setenv("AIRFLOW_CONN_WASB_DEFAULT", json.dumps(value))
    container = account.control.container("airflow-example")
    run = run_dag(hurried(load_dag(EXAMPLES / "example_blobs.py")))

    assert str(run.state) == "success"
    [counts] = xcom_of(run, "linux.check")
    assert (counts["readings"], counts["meters"]) == (200_000, 250)
    assert container.names() == ["clean/totals.csv", "logs/stderr.txt", "logs/stdout.txt", "raw/readings.csv"]
    assert len(container.get("raw/readings.csv")) > 3_000_000
    assert container.get("clean/totals.csv").startswith(b"meter,watt_hours\r\nmeter-000,")
    assert updated_assets(run) == {
        f"abfs://airflow-example/{name}" for name in ("raw/readings.csv", "clean/totals.csv")
    }
    nothing_is_left(account)


def test_the_examples_are_parsed_without_azure():
    paths = sorted(EXAMPLES.glob("*.py"))
    code = (
        "import runpy, sys\n"
        f"for path in {[str(path) for path in paths]!r}:\n"
        "    print(bool(runpy.run_path(path)['dag'].tasks), 'azure' in sys.modules, path)"
    )

    done = subprocess.run(warm_python("-c", code), capture_output=True, text=True, check=True)

    said = [line for line in done.stdout.splitlines() if line.endswith(".py")]
    assert said == [f"True False {path}" for path in paths]


def test_a_pool_in_an_own_network_with_an_own_image_runs_packaged_programs(secure_emulator, monkeypatch):
    control = secure_emulator.control
    report = "#!/bin/sh\necho '{\"version\": %d}'\n"
    control.set_package("tools", "1", {"bin/report": report % 1})
    named = {
        "SUBNET": control.set_subnet("vnet", "nodes", prefix="10.1.0.0/24"),
        "IMAGE": control.set_image("etl", gallery="shared", version="1.0.0"),
        "TOOLS": control.set_package("tools", "2", {"bin/report": report % 2}),
    }
    for name, resource_id in named.items():
        monkeypatch.setenv(f"AIRFLOW_VAR_BATCH_{name}_ID", resource_id)
    connect(monkeypatch, secure_emulator)

    run = run_dag(hurried(load_dag(EXAMPLES / "example_own_network.py")))

    assert str(run.state) == "success"
    [ready] = xcom_of(run, "private.wait")
    assert ready["nodes"] == {"idle": 2}
    results = [xcom_of(run, f"private.{task_id}")[0]["result"] for task_id in ("report", "newer_report")]
    assert results == [{"version": 1}, {"version": 2}]
    nothing_is_left(BatchAccount(secure_emulator))
