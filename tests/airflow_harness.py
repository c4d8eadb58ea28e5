"""Runs operators, triggers and Dags through Airflow's own code; knows nothing of Batch."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import runpy
import signal
import time
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from airflow import __version__
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import DagRun, TaskInstance, TaskInstanceState, TIRunContext
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor
from pydantic import TypeAdapter

AIRFLOW = tuple(int(part) for part in __version__.split(".")[:3] if part.isdecimal())
"""The release of Airflow."""

RUN_ID = "manual__2026-01-02T03:04:05+00:00"
_NOW = "2026-01-02T03:04:05Z"
_PLAIN_XCOM = re.compile(r"xcoms/[^?#%]+/(?P<key>[\w.-]+)")
# Airflow's task runner makes the same validator for each rendered field of each task: nearly half the time
# that a test of an operator takes.
vars(task_runner)["TypeAdapter"] = cache(TypeAdapter)


@dataclass(frozen=True)
class Deferral:
    """What a deferred task leaves for the triggerer: the trigger as Airflow stores it, and a time-out."""

    classpath: str
    trigger_kwargs: dict[str, Any]
    timeout: timedelta | None
    next_method: str

    def overdue(self) -> Deferral:
        """Return what the triggerer finds if the deadline has passed before it starts the trigger."""
        return replace(self, trigger_kwargs={**self.trigger_kwargs, "deadline": time.time()})


@dataclass
class TaskRun:
    """How one run of a task on a worker went, and all that it gave away."""

    state: str
    error: BaseException | None
    xcoms: dict[str, Any]
    rendered: dict[str, Any]
    log: str
    deferral: Deferral | None = None
    outlets: Sequence[str] = ()
    """The URIs of the Assets that Airflow makes events for."""

    @property
    def result(self) -> Any:
        """The task's return value."""
        return self.xcoms.get("return_value")

    @property
    def message(self) -> str:
        """The text of the error that failed the task, on one line."""
        return " ".join(self.shown.split())

    @property
    def shown(self) -> str:
        """The text of the error that failed the task, in lines as Airflow's page shows them."""
        assert self.error is not None, f"The task is {self.state}."
        return str(self.error)

    @property
    def everything_said(self) -> str:
        """All that Airflow stores or shows of this run, as one text to look for secrets in."""
        stored = [self.xcoms, self.rendered, self.deferral]
        failure = traceback.format_exception(self.error) if self.error is not None else []
        return "\n".join([self.log, *map(repr, stored), *failure])


_ALWAYS: Mapping[str, tuple[int, Any]] = {
    "/connections/": (404, {"detail": {"reason": "not_found", "message": "no connection"}}),
    "/validate-inlets-and-outlets": (200, {"inactive_assets": []}),
}
"""What is answered to each request of a path that contains a text."""


@dataclass
class ExecutionApi:
    """
    Airflow's Execution API as far as a task asks for it, in memory.

    :param resume: the deferral as a resumed task sees it.
    :param refusals: how many requests for XComs are still to be refused.
    :param task_states: the states of the Dag run's tasks, by their ids.
    :param live_runs: the ids of Dag runs that are not over; ``None`` refuses to answer.
    :param run_id: the task's own Dag run.
    :param variables: Airflow's Variables; ``None`` refuses to answer.
    """

    xcoms: dict[str, Any] = field(default_factory=dict)
    rendered: dict[str, Any] = field(default_factory=dict)
    resume: Mapping[str, Any] = field(default_factory=dict)
    refusals: int = 0
    task_states: Mapping[str, str] = field(default_factory=dict)
    live_runs: tuple[str, ...] | None = ()
    run_id: str = RUN_ID
    variables: dict[str, str] | None = field(default_factory=dict)
    outlets: list[str] = field(default_factory=list, init=False)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of the task runner."""
        path, body = request.url.path, json.loads(request.content or b"null")
        if path.endswith("/run"):
            return httpx.Response(200, json=self._run_context())
        if path.endswith("/rtif"):
            self.rendered = _redacted(body)
        if path.endswith("/state"):
            self.outlets += [outlet["uri"] for outlet in body.get("task_outlets") or ()]
        if path.endswith("task-instances/states"):
            return httpx.Response(200, json={"task_states": {self.run_id: self.task_states}})
        if path.endswith("dag-runs/count"):
            if self.live_runs is None:
                return httpx.Response(400, json={"detail": {"reason": "refused", "message": "not today"}})
            asked = request.url.params.get_list("run_ids")
            return httpx.Response(200, json=len(set(asked) & set(self.live_runs)))
        if "/xcoms/" in path:
            return self._answer_xcom(request, path, body)
        if "/variables/" in path:
            return self._answer_variable(request.method, path.rsplit("/", 1)[-1], body)
        status, answer = next((_ALWAYS[part] for part in _ALWAYS if part in path), (204, None))
        return httpx.Response(status, json=answer) if answer else httpx.Response(status)

    def _answer_variable(self, method: str, key: str, body: Any) -> httpx.Response:
        if self.variables is None:
            return httpx.Response(400, json={"detail": {"reason": "refused", "message": "no Variable today"}})
        if method == "PUT":
            self.variables[key] = body.get("val", body.get("value"))
            return httpx.Response(201, json={"message": "stored"})
        if key in self.variables:
            return httpx.Response(200, json={"key": key, "value": self.variables[key]})
        return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no such Variable"}})

    def _answer_xcom(self, request: httpx.Request, path: str, body: Any) -> httpx.Response:
        if request.method == "HEAD":  # how many map indexes have it
            return httpx.Response(200, headers={"Content-Range": "map_indexes 1"})
        if path.endswith("/item/0"):
            return httpx.Response(200, json=self.xcoms[path.split("/")[-3]])
        if path.endswith("/slice"):  # of another task, of whichever map index
            key = path.split("/")[-2]
            return httpx.Response(200, json=[self.xcoms[key]] if key in self.xcoms else [])
        return self.answer_one_xcom(request.method, path.rsplit("/", 1)[-1], body)

    def answer_one_xcom(self, method: str, key: str, body: Any) -> httpx.Response:
        """Answer a request for one XCom of a task."""
        if self.refusals:
            self.refusals -= 1
            return httpx.Response(400, json={"detail": {"reason": "refused", "message": "no XCom today"}})
        if method == "POST":
            self.xcoms[key] = body
            return httpx.Response(201, json={"message": "stored"})
        if key in self.xcoms:
            return httpx.Response(200, json={"key": key, "value": self.xcoms[key]})
        return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no such XCom"}})

    def _run_context(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            **dict.fromkeys(DagRun.model_fields),
            "dag_id": "harness",
            "run_id": self.run_id,
            "run_type": "manual",
            "state": "running",
            "clear_number": 0,
            "conf": {},
            "consumed_asset_events": [],
            "start_date": _NOW,
            "run_after": _NOW,
        }
        context = {"dag_run": facts, "max_tries": 0, "should_retry": False, **self.resume}
        return {name: value for name, value in context.items() if name in TIRunContext.model_fields}


def run_task(
    operator: BaseOperator | MappedOperator,
    *,
    try_number: int = 1,
    map_index: int = -1,
    api: ExecutionApi | None = None,
) -> TaskRun:
    """
    Run a task as a worker does, without a database; the operator itself stays as it is.

    :param api: what stands in for the API server; ``None`` makes an empty one.
    """
    api = api or ExecutionApi()
    if not operator.has_dag():
        operator.dag = DAG("harness", schedule=None)
    what = TaskInstance(
        id=uuid.uuid4(),
        task_id=operator.task_id,
        dag_id=operator.dag_id,
        run_id=api.run_id,
        try_number=try_number,
        map_index=map_index,
        dag_version_id=uuid.uuid4(),
    )
    with captured_log() as log, _signals_restored(), _own_warnings_of_airflow_ignored(), _error_in_context():
        done = _supervisor(api).start(what=what, task=operator)
    state = TaskInstanceState(done.state).value
    deferral = _deferral(done.msg) if state == "deferred" else None
    return TaskRun(
        state, done.error, dict(api.xcoms), dict(api.rendered), "\n".join(log), deferral, api.outlets
    )


def resume_task(
    operator: BaseOperator | MappedOperator,
    run: TaskRun,
    event: Any,
    *,
    try_number: int = 1,
    map_index: int = -1,
    max_tries: int = 0,
) -> TaskRun:
    """Run the rest of a deferred task as a worker does after the trigger fired: with a fresh operator."""
    assert run.deferral is not None, f"The task is {run.state}, not deferred."
    stored = {"next_method": run.deferral.next_method, "next_kwargs": _stored({"event": event})}
    resume = {**stored, "max_tries": max_tries}
    api = ExecutionApi(xcoms=dict(run.xcoms), resume=resume)
    return run_task(operator, try_number=try_number, map_index=map_index, api=api)


def end_deferral(operator: BaseOperator, run: TaskRun, reason: str, *, max_tries: int = 0) -> TaskRun:
    """Run the rest of a task whose deferral Airflow itself has ended, for a reason in Airflow's words."""
    next_kwargs = _stored({"error": reason, "traceback": ["Traceback (most recent call last):", "Lost"]})
    resume = {"next_method": "__fail__", "next_kwargs": next_kwargs, "max_tries": max_tries}
    return run_task(operator, api=ExecutionApi(xcoms=dict(run.xcoms), resume=resume))


def make_trigger(deferral: Deferral) -> Any:
    """Make the trigger as the triggerer does, from what Airflow stored."""
    from airflow.models.trigger import Trigger

    stored = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(deferral.trigger_kwargs))
    module, _, name = deferral.classpath.rpartition(".")
    return getattr(import_module(module), name)(**stored)


def run_trigger(deferral: Deferral) -> Any:
    """Run a trigger until its one event, and give the payload as it reaches the worker."""
    trigger = make_trigger(deferral)

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    [payload] = asyncio.run(events())
    return msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(msgspec.msgpack.encode(payload))))


def run_to_end(operator: BaseOperator, *, try_number: int = 1) -> TaskRun:
    """Run a task, its trigger when it defers, and the rest of it."""
    run = run_task(operator, try_number=try_number)
    if run.deferral is None:
        return run
    with captured_log() as shown:
        event = run_trigger(run.deferral)
    ended = resume_task(operator, run, event, try_number=try_number)
    return replace(ended, log="\n".join([*shown, ended.log]))


def dag_serializer() -> Any:
    """Return the class that stores Dags: Airflow 3.1 has the one, later ones the other."""
    serialization = import_module("airflow.serialization.serialized_objects")
    return getattr(serialization, "DagSerialization", None) or serialization.SerializedDAG


def load_dag(path: Path) -> DAG:
    """Read the one Dag of a Dag file."""
    dag: DAG = runpy.run_path(str(path))["dag"]
    return dag


def run_dag(dag: DAG, conf: dict[str, Any] | None = None) -> Any:
    """Run a Dag that is in no bundle, by ``dag.test()``, and give its run."""
    migrated_database()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        try:
            from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
        except ImportError:  # Airflow 3.1
            from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef]

        bag = DagBag(os.devnull, collect_dags=False)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, _BUNDLE, None)
        with _signals_restored():
            return dag.test(run_conf=conf)


def xcom_of(dag_run: Any, task_id: str, key: str = "return_value") -> list[Any]:
    """Give what the instances of a task left in XCom, in the order of their map indexes."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(run_id=dag_run.run_id, dag_ids=[dag_run.dag_id], task_ids=[task_id], key=key)
    with create_session() as session:
        rows: list[Any] = sorted(session.scalars(query), key=lambda row: row.map_index)
        return [XComModel.deserialize_value(row) for row in rows]


def updated_assets(dag_run: Any) -> set[str]:
    """Return the URIs of the Assets that the tasks of a Dag run have updated."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == dag_run.run_id))
        return {event.asset.uri for event in events}


_BUNDLE = "tests"


@cache
def migrated_database() -> None:
    """Make the tables of Airflow's database, once a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        from airflow.models.dagbundle import DagBundleModel
        from airflow.utils.db import initdb
        from airflow.utils.session import create_session

        initdb()
        with create_session() as session:
            session.merge(DagBundleModel(name=_BUNDLE))


class _Client(Client):
    """
    Airflow's client of its API server, which is in memory.

    A task stores about ten XComs. To build a request for each takes httpx a quarter of the time of a test.
    """

    def __init__(self, api: ExecutionApi) -> None:
        super().__init__(base_url=None, token="", dry_run=True, transport=httpx.MockTransport(api.answer))
        self.base_url = "http://airflow.invalid/"
        self._api = api

    def post(self, url: Any, **options: Any) -> httpx.Response:
        place = _PLAIN_XCOM.fullmatch(str(url))
        if place is None or self._api.refusals:
            return super().post(url, **options)
        return self._api.answer_one_xcom("POST", place["key"], json.loads(json.dumps(options["json"])))


def _supervisor(api: ExecutionApi) -> type[InProcessTestSupervisor]:
    client = _Client(api)

    class Supervisor(InProcessTestSupervisor):
        @staticmethod
        def _api_client(dag: object = None) -> Client:  # noqa: ARG004
            return client

    return Supervisor


def _redacted(rendered: dict[str, Any]) -> dict[str, Any]:
    # As the API server does before it stores them; Airflow 3.1 masks nothing earlier.
    from airflow._shared.secrets_masker import redact

    return {name: redact(value, name) for name, value in rendered.items()}


def _stored(next_kwargs: dict[str, Any]) -> Any:
    try:
        from airflow.sdk.serde import serialize
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.serialize(next_kwargs)
    return serialize(next_kwargs)


def _deferral(message: Any) -> Deferral:
    return Deferral(
        message.classpath, dict(message.trigger_kwargs), message.trigger_timeout, message.next_method
    )


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Collect what is logged until the end, as it is before Airflow masks secrets in it."""
    lines: list[str] = []
    handler = _Lines(lines)
    logging.getLogger().addHandler(handler)
    try:
        with structlog.testing.capture_logs() as events:
            yield lines
    finally:
        logging.getLogger().removeHandler(handler)
        lines.extend(f"{event.pop('event')} {event}" for event in map(dict, events))


@contextmanager
def _own_warnings_of_airflow_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using Connection.from_json", DeprecationWarning)  # Airflow 3.1
        yield


@contextmanager
def _error_in_context() -> Iterator[None]:
    """Give callbacks the error, as the process of a task does; the one of Airflow 3.1 for tests does not."""
    finalize = task_runner.finalize

    def with_error(ti: Any, state: Any, context: Any, log: Any, error: Any = None) -> None:
        if error is not None:
            context["exception"] = error
        finalize(ti, state, context, log, error)

    with pytest.MonkeyPatch.context() as patch:
        if AIRFLOW < (3, 2):
            patch.setattr(task_runner, "finalize", with_error)
        yield


@contextmanager
def _signals_restored() -> Iterator[None]:
    # The task runner leaves a handler behind that would kill the next thing on SIGTERM.
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
