"""No body breaks the service: each is taken, or refused in the service's own form. By properties."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux import emulator as package
from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from airflow_provider_batchlinux.rest_schema import schema
from tests.signed_requests import Wire

Body = st.SearchStrategy[Any]

QUERY = "?api-version=2025-06-01"
SECRET = "hush-hush"
MADE = ("{pool}", "{job}", "{schedule}", "{node}", "{user}")
SHAPES: Mapping[str, Any] = schema()["bodies"]
READ = {
    "BatchJob": "PUT {job}",
    "BatchJobCreateOptions": "POST /jobs",
    "BatchJobDisableOptions": "POST {job}/disable",
    "BatchJobSchedule": "PUT {schedule}",
    "BatchJobScheduleCreateOptions": "POST /jobschedules",
    "BatchJobScheduleUpdateOptions": "PATCH {schedule}",
    "BatchJobTerminateOptions": "POST {job}/terminate",
    "BatchJobUpdateOptions": "PATCH {job}",
    "BatchNodeDeallocateOptions": "POST {node}/deallocate",
    "BatchNodeDisableSchedulingOptions": "POST {node}/disablescheduling",
    "BatchNodeRebootOptions": "POST {node}/reboot",
    "BatchNodeReimageOptions": "POST {node}/reimage",
    "BatchNodeRemoveOptions": "POST /pools/linux/removenodes",
    "BatchNodeUserCreateOptions": "POST {node}/users",
    "BatchNodeUserReplaceOptions": "PUT {user}",
    "BatchPoolCreateOptions": "POST /pools",
    "BatchPoolEnableAutoScaleOptions": "POST {pool}/enableautoscale",
    "BatchPoolEvaluateAutoScaleOptions": "POST /pools/scaled/evaluateautoscale",
    "BatchPoolReplaceOptions": "POST {pool}/updateproperties",
    "BatchPoolResizeOptions": "POST {pool}/resize",
    "BatchPoolUpdateOptions": "PATCH {pool}",
    "BatchTask": "PUT {job}/tasks/task",
    "BatchTaskCreateOptions": "POST {job}/tasks",
    "BatchTaskGroup": "POST {job}/addtaskcollection",
    "UploadBatchServiceLogsOptions": "POST {node}/uploadbatchservicelogs",
}
"""Every shape of a body that an operation reads, and one that does, at something that is made for it."""

IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
TARGETS = {"targetDedicatedNodes", "targetLowPriorityNodes"}
POOL = {"vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE}
# Without these hardly a body would come past the first check; and no command may be a generated one.
MEANT = {"BatchPoolCreateOptions": {"virtualMachineConfiguration"}, "BatchPoolResizeOptions": TARGETS}
SENSIBLE: dict[str, Any] = {
    **IMAGE,
    "nodeAgentSKUId": MACHINE["nodeAgentSKUId"],
    "virtualMachineConfiguration": MACHINE,
    "vmSize": "standard_d2s_v5",
    "poolId": "empty",
    "poolInfo": {"poolId": "empty"},
    "jobSpecification": {"poolInfo": {"poolId": "empty"}},
    "schedule": {"recurrenceInterval": "PT1H"},
    "autoScaleFormula": "$TargetDedicatedNodes = 0;",
    "commandLine": "true",
    "httpUrl": "http://127.0.0.1:9/nothing",
    "containerUrl": "http://127.0.0.1:9/nothing",
    "storageContainerUrl": "http://127.0.0.1:9/nothing",
}
ALWAYS = {"commandLine", "httpUrl", "containerUrl", "storageContainerUrl"}

IDS = st.text("abcdefgh0123456789-_", min_size=6, max_size=12)
JUNK = st.sampled_from([None, True, -1, 0, 1.5, "", "\0", "é" * 70, [], {}, [None], {"odata.type": "x"}])
INTS = st.sampled_from([0, 1, 2, 3, -1, 100, 2**31 - 1, 2**31, -(2**63), 10**30, "4", "four"])
TEXTS = st.sampled_from(
    ["etl", "ETL-2_x", "", " ", "a b", "../../x", "a/b", "%2e", "é", "x" * 65, "x" * 1025]
)
SCALARS: dict[str, Body] = {
    "int": INTS,
    "float": st.sampled_from([0, 0.5, 1e308, -1.0, "0.5"]),
    "bool": st.booleans() | st.just("true"),
    "string": TEXTS,
    "duration": st.sampled_from(["PT1M", "P1D", "PT0S", "PT5H0.5S", "P10675199DT2H48M5.4775807S", "PT", "1"]),
    "time": st.sampled_from(["2031-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon"]),
    "object": JUNK,
    "secret": st.just(SECRET) | st.just([SECRET]) | st.just({"value": SECRET}),
    "secret object": st.just({"value": SECRET}),
}


def values(kind: str, name: str) -> Body:
    """Generate values of a property: mostly of its kind, now and then of any other."""
    if kind.startswith("["):
        good: Body = st.lists(values(kind[1:-1], name), max_size=2)
    elif kind in SHAPES:
        good = bodies(kind)
    else:
        good = SCALARS[kind] if kind in SCALARS else st.sampled_from(kind.split("|"))
    if name in ALWAYS:
        return st.just(SENSIBLE[name])
    sensible = IDS if name in ("id", "name") else st.just(SENSIBLE[name]) if name in SENSIBLE else good
    return st.sampled_from([sensible] * 12 + [good] * 6 + [JUNK]).flatmap(lambda chosen: chosen)


def bodies(shape: str) -> Body:
    """Generate bodies of a shape: what it needs, mostly, and a few of the things that it may have."""
    properties: dict[str, str] = SHAPES[shape]["properties"]
    needed = {*SHAPES[shape]["required"], *MEANT.get(shape, ())}
    more = st.lists(st.sampled_from(sorted(properties)), max_size=3) if properties else st.just([])

    def of(chosen: tuple[list[str], bool]) -> Body:
        names, is_whole = chosen
        return st.fixed_dictionaries(
            {name: values(properties[name], name) for name in {*names, *(needed if is_whole else ())}}
        )

    return st.tuples(more, st.sampled_from([True] * 9 + [False])).flatmap(of)


class Account:
    """An account with a pool of two nodes and one without, in which each request finds what it is for."""

    def __init__(self, emulator: RunningEmulator, wire: Wire) -> None:
        self._control = emulator.control
        self._wire = wire
        self._numbers = count()
        self._control.set_quota(dedicated_cores=20, spot_cores=20)
        self._make("pools", {**POOL, "id": "empty"})
        formula = {"enableAutoScale": True, "autoScaleFormula": SENSIBLE["autoScaleFormula"]}
        self._make("pools", {**POOL, "id": "scaled", **formula})
        self._make("pools", {**POOL, "id": "linux", "targetDedicatedNodes": 2})

    def is_no_defect(self, operation: str, content: bytes) -> None:
        """Send a body, and look at the answer's form."""
        method, _, path = operation.partition(" ")
        for kind in MADE:
            if kind in path:
                path = path.replace(kind, getattr(self, f"_new_{kind.strip('{}')}")())
        status, answer = self._wire.ask(method, path + QUERY, content)

        assert status < 500, (content, answer)
        assert SECRET.encode() not in answer, (content, answer)
        if status >= 400:
            error = json.loads(answer)
            assert set(error) <= {"odata.metadata", "code", "message", "values"}, answer
            assert set(error["message"]) == {"lang", "value"}, answer

    def _new_pool(self) -> str:
        return self._make("pools", {**POOL, "id": f"pool-{next(self._numbers)}"})

    def _new_job(self) -> str:
        job = self._make("jobs", {"id": f"job-{next(self._numbers)}", "poolInfo": {"poolId": "empty"}})
        self._make(f"{job[1:]}/tasks", {"id": "task", "commandLine": "true"})
        return job

    def _new_schedule(self) -> str:
        schedule = {"id": f"schedule-{next(self._numbers)}", "schedule": SENSIBLE["schedule"]}
        return self._make("jobschedules", {**schedule, "jobSpecification": {"poolInfo": {"poolId": "empty"}}})

    def _new_node(self) -> str:
        node = self._wire.get(f"/pools/linux/nodes{QUERY}")["value"][0]["id"]
        self._control.set_node("linux", node, "idle")
        return f"/pools/linux/nodes/{node}"

    def _new_user(self) -> str:
        user, users = {"name": f"user-{next(self._numbers)}"}, f"{self._new_node()}/users"
        self._wire.send("POST", users + QUERY, user)
        return f"{users}/{user['name']}"

    def _make(self, where: str, body: dict[str, Any]) -> str:
        self._wire.send("POST", f"/{where}{QUERY}", body)
        return f"/{where}/{body['id']}"


@pytest.fixture
def account() -> Iterator[Account]:
    """Give an account of a service that nothing else uses."""
    with run_emulator(EmulatorOptions(seed=1)) as emulator, closing(Wire(emulator)) as wire:
        yield Account(emulator, wire)


def test_the_shapes_are_all_that_operations_read() -> None:
    folder = Path(package.__file__).parent / "handlers"
    trees = [ast.parse(path.read_text()) for path in folder.glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    reads = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "read"]

    assert {ast.literal_eval(call.args[0]) for call in reads if call.args} == set(READ)


@pytest.mark.parametrize("shape", READ)
def test_no_body_of_a_shape_breaks_the_service(account: Account, shape: str) -> None:
    @settings(max_examples=30, derandomize=True, database=None)
    @given(bodies(shape))
    def holds(body: Any) -> None:
        account.is_no_defect(READ[shape], json.dumps(body).encode())

    holds()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="broken"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"id": 1e999}', id="infinite"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"id": ' + b"[" * 500 + b"]" * 500 + b"}", id="deep in a property"),
        pytest.param(b'{"id":' * 900 + b"1" + b"}" * 900, id="deep objects"),
        pytest.param(b'{"id": ' + b"9" * 10_000 + b"}", id="a long number"),
        pytest.param(b'{"id": NaN}', id="no number"),
        pytest.param(b'{"id": "\\ud800"}', id="half a character"),
    ],
)
def test_what_is_no_body_at_all_is_refused(account: Account, content: bytes) -> None:
    for operation in READ.values():
        account.is_no_defect(operation, content)
