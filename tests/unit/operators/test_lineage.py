"""OpenLineage is told what commands read and write, by the methods that Airflow's provider for it calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar

import pytest
from airflow.listeners import hookimpl
from airflow.providers.common.compat.openlineage import facet
from airflow.sdk import DAG, Asset

from airflow_provider_batchlinux.core.storage.datasets import DatasetName, dataset_name
from airflow_provider_batchlinux.core.storage.locations import parse_location
from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_cmd_task, batch_linux_task
from airflow_provider_batchlinux.specs import InputSpec, OutputSpec, TaskSpec
from tests.airflow_harness import run_to_end
from tests.unit.commands import job_operator, operator
from tests.unit.storage import Storage

HOST = "https://lake.blob.core.windows.net"
LAKE = "abfss://raw@lake.dfs.core.windows.net"
INSTALLED = find_spec("airflow.providers.openlineage") is not None


@pytest.mark.parametrize(
    ("place", "namespace", "name"),
    [
        ("abfs://raw/day/in.csv", LAKE, "day/in.csv"),
        ("abfs://raw@lake.dfs.core.windows.net/day/in.csv?sig=s3cret", LAKE, "day/in.csv"),
        ("wasbs://raw@lake.blob.core.windows.net/day/", LAKE, "day"),
        (f"{HOST}/raw/a%20b.csv?sig=s3cret", LAKE, "a b.csv"),
        ("abfs://raw/", LAKE, "/"),
        ("abfs://raw/2026-*", LAKE, "2026-"),
        (
            "https://lakecn.blob.core.chinacloudapi.cn/raw/a",
            "abfss://raw@lakecn.dfs.core.chinacloudapi.cn",
            "a",
        ),
        ("http://127.0.0.1:10000/dev/raw/a", "abfss://raw@dev.dfs.core.windows.net", "a"),
        ("https://example.org/data/a%20b.csv?token=s3cret", "https://example.org", "/data/a b.csv"),
    ],
)
def test_places_have_the_names_that_openlineage_gives_them(place: str, namespace: str, name: str) -> None:
    assert dataset_name(parse_location(place), HOST) == DatasetName(namespace, name)


@dataclass
class Lineage:
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    run_facets: dict[str, Any] = field(default_factory=dict)
    job_facets: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what Airflow's provider offers to operators stand in for it, unless it is installed."""
    if INSTALLED:
        import_module("airflow.providers.openlineage.extractors")
    else:
        for name in ("airflow.providers.openlineage", "airflow.providers.openlineage.extractors"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        vars(sys.modules["airflow.providers.openlineage.extractors"])["OperatorLineage"] = Lineage
        monkeypatch.setattr(facet, "Dataset", DatasetName)


def extracted(task: Any, state: str, task_instance: Any = None) -> tuple[list[str], list[str]]:
    """Return the inputs and outputs that the provider finds for a task in a state."""
    if INSTALLED:
        extractor = import_module("airflow.providers.openlineage.extractors.base").DefaultExtractor(task)
        ends = {"success": extractor.extract_on_complete, "failed": extractor.extract_on_failure}
        found = extractor.extract() if state == "running" else ends[state](task_instance)
    elif state == "running":
        found = task.get_openlineage_facets_on_start()
    else:
        ending = {"success": "complete", "failed": "failure"}[state]
        found = getattr(task, f"get_openlineage_facets_on_{ending}")(task_instance)
    assert (found.run_facets, found.job_facets) == ({}, {})
    datasets = ([f"{one.namespace} {one.name}" for one in each] for each in (found.inputs, found.outputs))
    return next(datasets), next(datasets)


class Listener:
    """
    What OpenLineage has as its listener: it asks when the task has ended, in a fork of its process.

    Airflow is not asked there: it has no connection.
    """

    seen: ClassVar[list[tuple[str, tuple[list[str], list[str]]]]] = []

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:  # noqa: ARG002
        self._see("success", task_instance)

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG002
        self._see("failed", task_instance)

    def _see(self, state: str, task_instance: Any) -> None:
        with pytest.MonkeyPatch.context() as fork:
            fork.delenv("AIRFLOW_CONN_WASB_DEFAULT")
            self.seen.append((state, extracted(task_instance.task, state, task_instance)))


@pytest.fixture
def listener() -> Iterator[Listener]:
    try:
        manager = import_module("airflow.sdk.listener").get_listener_manager()
    except ImportError:  # Airflow 3.1
        manager = import_module("airflow.listeners.listener").get_listener_manager()
    listener = Listener()
    listener.seen.clear()
    manager.add_listener(listener)
    yield listener
    manager.pm.unregister(listener)


def test_a_deferred_command_of_a_function_reports_rendered_places_without_secrets(
    storage: Storage, listener: Listener
) -> None:
    raw = storage.container("raw")
    raw.put("day/in.txt", b"hello")
    signed = storage.container("clean").url

    def command() -> str:
        return "tr a-z A-Z < in.txt > out.txt"

    decorated: Any = batch_linux_cmd_task(
        pool_id="etl",
        poll_interval=0.02,
        deferrable=True,
        inputs={"in.txt": "abfs://raw/{{ 'day' }}/in.txt"},
        outputs={"out.txt": signed.replace("?", "/{{ 'day' }}/out.txt?")},
    )
    with DAG("lineage", schedule=None):
        task = decorated(command)().operator
    extracted(task, "running")  # what is asked before the function is called does not become its command
    done = run_to_end(task)

    assert done.state == "success", done.error
    assert storage.container("clean").get("day/out.txt") == b"HELLO"
    told = (
        ["abfss://raw@batchlinuxstorage.dfs.core.windows.net day/in.txt"],
        ["abfss://clean@batchlinuxstorage.dfs.core.windows.net day/out.txt"],
    )
    assert listener.seen == [("success", told)]


def test_what_is_written_depends_on_the_end_of_the_command() -> None:
    task = operator(
        "true",
        inputs={"a": InputSpec(Asset(f"{HOST}/raw/a")), "again": f"{HOST}/raw/a"},
        outputs={
            "b": f"{HOST}/raw/b",
            "*.csv": f"{HOST}/raw/tables/",
            "report.txt": OutputSpec(f"{HOST}/raw/reports/"),
            "core": OutputSpec(f"{HOST}/raw/core", upload_on="failure"),
            "log": OutputSpec(f"{HOST}/raw/log", upload_on="completion"),
        },
    )
    written = [f"{LAKE} {name}" for name in ("b", "log", "reports/report.txt", "tables")]

    assert extracted(task, "running") == ([f"{LAKE} a"], written)
    assert extracted(task, "success") == ([f"{LAKE} a"], written)
    assert extracted(task, "failed") == ([f"{LAKE} a"], [f"{LAKE} core", f"{LAKE} log"])
    for code, names in ((0, written), (3, [f"{LAKE} core", f"{LAKE} log"]), (None, [])):
        task.remember_ends({"main": code})
        assert extracted(task, "success") == ([f"{LAKE} a"], names)


def test_many_commands_and_functions_report_theirs() -> None:
    items = job_operator(
        command="sort {item}",
        items=["x", "y"],
        inputs={"in": HOST + "/raw/{item}"},
        outputs={"out": HOST + "/raw/sorted/{item}"},
        preparation=TaskSpec("true", inputs={"tool": f"{HOST}/raw/tool"}),
    )

    def read() -> None: ...

    decorated: Any = batch_linux_task(pool_id="etl", inputs={"a": f"{HOST}/raw/a"})
    with DAG("lineage", schedule=None):
        function = decorated(read)().operator
    assert extracted(items, "success") == (
        [f"{LAKE} tool", f"{LAKE} x", f"{LAKE} y"],
        [f"{LAKE} sorted/x", f"{LAKE} sorted/y"],
    )
    assert extracted(function, "success") == ([f"{LAKE} a"], [])


@pytest.mark.parametrize("max_failed", [0, 1], ids=["failed", "success"])
def test_many_commands_report_the_outputs_that_were_written(
    storage: Storage, listener: Listener, max_failed: int
) -> None:
    logs = storage.container("logs")
    work = job_operator(
        command="touch out err; exit {item}",
        items=["0", "3"],
        outputs={
            "out": "abfs://logs/out-{item}",
            "err": OutputSpec("abfs://logs/err-{item}", upload_on="failure"),
        },
        max_failed=max_failed,
    )
    done = run_to_end(work)

    written = logs.names()
    assert written == ["err-3", "out-0"]
    place = "abfss://logs@batchlinuxstorage.dfs.core.windows.net"
    assert listener.seen == [(done.state, ([], [f"{place} {name}" for name in written]))]


def test_data_whose_connection_is_unknown_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    task = operator(
        "true", inputs={"a": "abfs://raw/a", "b": f"{HOST}/raw/b"}, storage_conn_id="no_such_connection"
    )
    task.prepare()

    assert extracted(task, "success") == ([f"{LAKE} b"], [])
    assert "no_such_connection" in caplog.text
