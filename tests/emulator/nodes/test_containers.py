"""Containers of tasks: what Azure refuses, and how the engine of the machine runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions
from airflow_provider_batchlinux.emulator.nodes.containers import ContainerEngine, NodeContainers
from airflow_provider_batchlinux.emulator.nodes.programs import Command, Outcome, ProgramStarter
from airflow_provider_batchlinux.emulator.state.reaper import reaping
from tests.emulator.conftest import Account

ENGINE_CODE = """#!{python} -IS
import json, os, subprocess, sys
place = {place!r}
given = sys.argv[1:]
variables = [word.partition("=")[2] for word in given if word.startswith("--env-file=")]
named = [word.partition("=")[2] for word in given if word.startswith("--env=")]
call = {{
    "call": [word for word in given if not word.startswith("--env-file=")],
    "stdin": sys.stdin.read() if "--password-stdin" in given else "",
    "login": os.environ.get("DOCKER_CONFIG", ""),
    "variables": open(variables[0]).read().splitlines() if variables else [],
    "named": {{name: os.environ[name] for name in named}},
}}
with open(place + "/calls", "a") as log:
    log.write(json.dumps(call) + "\\n")
if given[0] == "create":
    image = given.index("busybox")
    with open(place + "/" + given[given.index("--name") + 1], "w") as file:
        json.dump([given[image + 1:], call["variables"]], file)
    sys.exit(125 if "--impossible" in given else 0)
if given[0] == "start":
    arguments, variables = json.load(open(place + "/" + given[-1]))
    environment = dict(line.split("=", 1) for line in variables)
    sys.exit(subprocess.run(arguments, env=environment).returncode)
if given[:2] == ["image", "inspect"]:
    sys.exit(0 if os.path.exists(place + "/pulled") else 1)
if given[0] == "login" and call["stdin"] != "right":
    sys.exit("unauthorized")
if given[0] == "pull":
    open(place + "/pulled", "w").close()
"""
HPC = {
    "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    "containerConfiguration": {"type": "dockerCompatible"},
}
BOX = {"imageName": "busybox"}
LOGIN = {"registryServer": "own.example", "username": "me", "password": "right"}
ROOT = "/node"


class Engine:
    """A command that records how it is called, and runs the command of a container as a process."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.program = place / "docker"
        self.program.write_text(ENGINE_CODE.format(python=sys.executable, place=str(place)))
        self.program.chmod(0o700)

    def calls(self) -> list[dict[str, Any]]:
        lines = (self.place / "calls").read_text().splitlines()
        return [json.loads(line.replace(str(self.place), "{place}")) for line in lines]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def run(
    engine: Engine,
    settings: dict[str, Any],
    line: str = "/bin/true",
    configuration: Any = None,
    **variables: str,
) -> Outcome:
    environment = {
        "AZ_BATCH_NODE_ROOT_DIR": ROOT,
        "AZ_BATCH_NODE_SHARED_DIR": f"{ROOT}/shared",
        "AZ_BATCH_TASK_DIR": f"{ROOT}/task",
        "HOME": f"{ROOT}/task/wd",
        "PATH": "/of/the/node",
        **variables,
    }
    place = engine.place
    command = Command(line, place, environment, place / "stdout.txt", place / "stderr.txt")
    spec = {
        "commandLine": line,
        "containerSettings": {**BOX, **settings},
        "environmentSettings": [{"name": name, "value": value} for name, value in variables.items()],
    }

    async def hold(starter: ProgramStarter) -> Outcome:
        containers = NodeContainers(starter, configuration or {}, ContainerEngine(str(engine.program)))
        with closing(starter):
            async with containers.held(spec, command) as outcome:
                return outcome

    with reaping(place, keep_root=True) as reaper:
        return asyncio.run(hold(ProgramStarter(reaper)))


def created(engine: Engine) -> list[str]:
    """Return the options and arguments of the container, without those that every container has."""
    (call,) = (call for call in engine.calls() if call["call"][0] == "create")
    words: list[str] = call["call"]
    assert words[1] == "--name"
    assert words[3:5] == ["--label", "batchlinux-emulator"]
    return [word for word in words[5:] if not word.startswith("--env=")]


@pytest.mark.parametrize(
    ("settings", "line", "expected"),
    [
        pytest.param(
            {},
            "echo 'a b'",
            ["--workdir", "{place}", f"--volume={ROOT}:{ROOT}", "busybox", "echo", "a b"],
            id="plain",
        ),
        pytest.param(
            {"workingDirectory": "containerImageDefault"},
            "",
            [f"--volume={ROOT}:{ROOT}", "busybox"],
            id="of the image",
        ),
        pytest.param(
            {"workingDirectory": "containerImageDefault", "containerHostBatchBindMounts": []},
            "",
            ["busybox"],
            id="no directory",
        ),
        pytest.param(
            {
                "workingDirectory": "containerImageDefault",
                "containerHostBatchBindMounts": [
                    {"source": "Task", "isReadOnly": False},
                    {"source": "Shared", "isReadOnly": True},
                    {"source": "Applications"},
                ],
                "containerRunOptions": "--ipc=host --label 'a b'",
            },
            "true",
            [
                f"--volume={ROOT}/task:{ROOT}/task",
                f"--volume={ROOT}/shared:{ROOT}/shared:ro",
                f"--volume={ROOT}/applications:{ROOT}/applications",
                "--ipc=host",
                "--label",
                "a b",
                "busybox",
                "true",
            ],
            id="some directories and options",
        ),
    ],
)
def test_a_container_is_created_as_on_a_node_of_azure(
    engine: Engine, settings: dict[str, Any], line: str, expected: list[str]
) -> None:
    run(engine, settings, line)

    assert created(engine) == expected


def test_variables_reach_a_container_outside_of_the_list_of_processes(engine: Engine) -> None:
    run(engine, {}, TOKEN="secret", LINES="secret\n2", PATH="/own")

    (call,) = (call for call in engine.calls() if call["call"][0] == "create")
    assert {"TOKEN=secret", "PATH=/own", f"AZ_BATCH_TASK_DIR={ROOT}/task"} <= set(call["variables"])
    assert not any(line.startswith("HOME=") for line in call["variables"])
    assert call["named"] == {"LINES": "secret\n2"}
    assert "secret" not in json.dumps([call["call"] for call in engine.calls()])


def test_output_and_exit_code_are_those_of_the_command(engine: Engine) -> None:
    outcome = run(engine, {}, "/bin/sh -c 'echo $TOKEN; echo 2 >&2; exit 3'", TOKEN="t")

    assert (outcome.exit_code, outcome.is_retried) == (3, True)
    assert (engine.place / "stdout.txt").read_text() == "t\n"
    assert (engine.place / "stderr.txt").read_text() == "2\n"
    assert engine.calls()[-1]["call"][:2] == ["rm", "--force"]


def test_an_image_is_pulled_once_after_logins_with_hidden_passwords(engine: Engine) -> None:
    pool = {"containerRegistries": [LOGIN, {"registryServer": "by.identity"}]}
    for _ in range(2):
        run(engine, {"registry": {"username": "hub", "password": "right"}}, configuration=pool)

    calls = [call for call in engine.calls() if call["call"][0] in ("login", "pull")]
    logins = [
        ["login", "--username", *words]
        for words in (
            ["me", "--password-stdin", "own.example"],
            ["hub", "--password-stdin", "docker.io"],
        )
    ]
    assert [call["call"] for call in calls] == [*logins, ["pull", "busybox"]]
    assert [call["stdin"] for call in calls] == ["right", "right", ""]
    assert len({call["login"] for call in calls}) == 1
    assert not Path(calls[0]["login"]).exists()


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        pytest.param({"containerRunOptions": "--impossible"}, "ContainerInvalidSettings", "", id="option"),
        pytest.param(
            {"containerRunOptions": "'"}, "ContainerInvalidSettings", "No closing quotation", id="quotes"
        ),
        pytest.param({"imageName": "--privileged"}, "ContainerInvalidImage", "invalid reference", id="image"),
        pytest.param(
            {"registry": {**LOGIN, "password": "wrong"}}, "ContainerInvalidImage", "unauthorized", id="login"
        ),
    ],
)
def test_what_the_engine_refuses_fails_the_task(
    engine: Engine, settings: dict[str, Any], code: str, message: str
) -> None:
    outcome = run(engine, settings)

    assert outcome.failure is not None
    assert (outcome.exit_code, outcome.failure["code"]) == (None, code)
    assert message in outcome.failure["details"][0]["value"]


def test_a_task_runs_in_the_container_until_it_is_terminated(
    engine: Engine, start: Callable[..., Account], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    account = start(containers="docker")
    account.create_pool(virtualMachineConfiguration=HPC)
    account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    line = "/bin/sh -c 'echo here; exec sleep 60'"
    account.send("POST", "/jobs/job/tasks", {"id": "task", "commandLine": line, "containerSettings": BOX})
    out = "/jobs/job/tasks/task/files/stdout.txt"
    account.eventually(out, lambda answer: answer == "here\n")

    account.send("POST", "/jobs/job/tasks/task/terminate")

    account.eventually("/jobs/job", lambda _: engine.calls()[-1]["call"][0] == "rm")
    assert account.send("GET", "/jobs/job/tasks/task")["executionInfo"]["containerInfo"]["state"] == "exited"


CONTAINER = {"containerSettings": BOX}
LACKS = "ContainerPoolNotSupported"
KINDS: dict[str, tuple[str | None, str | None]] = {
    # What comes of a container in a pool without them, and of none in a pool with them.
    "task": (LACKS, "ContainerTaskSettingsNotFound"),
    "jobManagerTask": (LACKS, "ContainerTaskSettingsNotFound"),
    "jobPreparationTask": (LACKS, None),
    "startTask": (LACKS, None),
}


@pytest.mark.parametrize("has_containers", [False, True])
def test_tasks_fit_their_pool(account: Account, has_containers: bool) -> None:
    needless = {} if has_containers else CONTAINER
    fitting = CONTAINER if has_containers else {}
    machine: dict[str, Any] = {"virtualMachineConfiguration": HPC} if has_containers else {}
    account.create_pool("start", startTask={"commandLine": "/bin/true", **needless}, **machine)
    account.create_pool(**machine)
    for kind in ("jobManagerTask", "jobPreparationTask"):
        task = {"id": "other", "commandLine": "/bin/true", **needless}
        account.send("POST", "/jobs", {"id": kind, "poolInfo": {"poolId": "linux"}, kind: task})
        account.send("POST", f"/jobs/{kind}/tasks", {"id": "t", "commandLine": "/bin/true", **fitting})
    account.send("POST", "/jobs", {"id": "task", "poolInfo": {"poolId": "linux"}})
    account.send("POST", "/jobs/task/tasks", {"id": "t", "commandLine": "/bin/true", **needless})
    places: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "task": ("/jobs/task/tasks/t", lambda task: task["executionInfo"]),
        "jobManagerTask": ("/jobs/jobManagerTask/tasks/other", lambda task: task["executionInfo"]),
        "jobPreparationTask": (
            "/jobs/jobPreparationTask/jobpreparationandreleasetaskstatus",
            lambda status: status["value"][0]["jobPreparationTaskExecutionInfo"],
        ),
        "startTask": ("/pools/start/nodes", lambda nodes: nodes["value"][0]["startTaskInfo"]),
    }

    def ended(info: Callable[[Any], Any]) -> Callable[[Any], bool]:
        def check(answer: Any) -> bool:
            try:
                return "result" in info(answer)
            except (KeyError, IndexError):
                return False

        return check

    found = {
        kind: info(account.eventually(path, ended(info))).get("failureInfo", {}).get("code")
        for kind, (path, info) in places.items()
    }

    assert found == {kind: codes[has_containers] for kind, codes in KINDS.items()}


@pytest.mark.parametrize(
    ("settings", "code", "name"),
    [
        pytest.param({}, "MissingRequiredProperty", "imageName", id="no image"),
        pytest.param({"imageName": " "}, "InvalidPropertyValue", "imageName", id="empty image"),
        pytest.param(
            {**BOX, "workingDirectory": "home"}, "InvalidPropertyValue", "workingDirectory", id="directory"
        ),
        pytest.param(
            {**BOX, "containerHostBatchBindMounts": [{"source": "etc"}]},
            "InvalidPropertyValue",
            "source",
            id="mount",
        ),
        pytest.param(
            {**BOX, "registry": {**LOGIN, "identityReference": {"resourceId": "id"}}},
            "InvalidPropertyValue",
            "username",
            id="two logins",
        ),
    ],
)
def test_settings_that_no_container_can_have_are_refused(
    account: Account, settings: dict[str, Any], code: str, name: str
) -> None:
    task = {"id": "task", "commandLine": "true", "containerSettings": settings}
    account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
    start_task = {"commandLine": "true", "containerSettings": settings}
    pool = {
        "id": "p",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": HPC,
        "startTask": start_task,
    }

    for path, body in {"/jobs/job/tasks": task, "/pools": pool}.items():
        error = account.send("POST", path, body)
        assert error["code"] == code
        assert name in [value["value"] for value in error["values"]]


def test_two_logins_of_a_pool_to_one_registry_are_refused(account: Account) -> None:
    registry = {**LOGIN, "identityReference": {"resourceId": "id"}}
    configuration = {"type": "dockerCompatible", "containerRegistries": [registry]}
    machine = {**HPC, "containerConfiguration": configuration}

    error = account.send(
        "POST", "/pools", {"id": "p", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
    )

    assert error["code"] == "InvalidPropertyValue"


def test_an_engine_that_this_machine_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match="containers is 'podman', but this machine has no such command"):
        EmulatorOptions(containers="podman")
