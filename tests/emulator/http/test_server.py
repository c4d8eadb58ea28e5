"""Starting and stopping: what is printed, and what is left behind."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_batchlinux.emulator import EmulatorControl, EmulatorOptions, run_emulator
from airflow_provider_batchlinux.emulator.__main__ import main
from airflow_provider_batchlinux.emulator.first_steps import KEY_VARIABLE

KEY = base64.b64encode(b"a made-up key").decode()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a running emulator in a separate process."""
    arguments = ["--port", "0", "--account", "laptop", "--key", KEY, "--root", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_batchlinux.emulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def test_the_ready_line_says_where_and_for_whom_it_serves(command: Any) -> None:
    word, _, facts = command.stdout.readline().partition(" ")
    ready = json.loads(facts)

    assert word == "ready"
    assert urlsplit(ready["endpoint"]).hostname == "127.0.0.1"
    assert (ready["account"], ready["key"]) == ("laptop", KEY)
    assert EmulatorControl(ready["endpoint"], ready["control_token"]).requests() == []


@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_key_need_not_be_in_the_list_of_processes(tmp_path: Path, way: str) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    arguments = ["--key-file", str(tmp_path / "key")] if way == "file" else []
    environment = {**os.environ, **({} if way == "file" else {KEY_VARIABLE: KEY})}
    command = [sys.executable, "-m", "airflow_provider_batchlinux.emulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline().partition(" ")[2])
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.terminate()

    assert ready["key"] == KEY
    assert KEY.encode() not in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--key", KEY, "--key-file", __file__], "key and key_file are both given"),
        (["--key-file", "/nowhere"], "No such file"),
        (["--key-file", __file__], "key must be base64"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)

    assert complaint in capsys.readouterr().err


def test_a_seed_and_chances_are_given_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--profile",
        "faulty",
        "--seed",
        "9",
        "--fault-rate",
        "slow=0.5",
        "--fault-rate",
        "unusable=0",
        "--log",
    ]
    command = [sys.executable, "-m", "airflow_provider_batchlinux.emulator", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline().partition(" ")[2])
        fault_rates = EmulatorControl(ready["endpoint"], ready["control_token"]).fault_rates()
        logged = process.stderr.readline()
        process.terminate()

    assert ready["seed"] == fault_rates["seed"] == 9
    assert re.fullmatch(r"[0-9:]{8}\.[0-9]{3} 200 POST /_emulator/fault-rates [0-9.]+ ms\n", logged)
    assert (fault_rates["slow"], fault_rates["unusable"], fault_rates["server_busy"]) == (0.5, 0, 0.02)
    with pytest.raises(SystemExit):
        main(["--fault-rate", "thunder=1"])
    assert "Unknown fault rate 'thunder'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_command_that_is_told_to_stop(
    command: Any, tmp_path: Path, number: int, account_of: Any, wait_until_gone: Any
) -> None:
    ready = json.loads(command.stdout.readline().partition(" ")[2])
    account = account_of(SimpleNamespace(**ready))
    account.create_pool(startTask={"commandLine": "/bin/sh -c 'echo $$ > pid; exec sleep 1000'"})
    account.wait_for_nodes("linux", "waitingforstarttask")
    task = _wait_for_pid(tmp_path)

    command.send_signal(number)
    rest, complaints = command.communicate(timeout=60)

    assert (command.returncode, rest, complaints) == (0, "", "")
    wait_until_gone(task)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(ready["endpoint"]).port))


def test_each_option_of_the_command_reaches_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[EmulatorOptions] = []

    async def serve(options: EmulatorOptions, _write_env: Path | None) -> None:
        given.append(options)

    monkeypatch.setattr("airflow_provider_batchlinux.emulator.__main__._serve", serve)
    monkeypatch.setattr("shutil.which", lambda name: f"/{name}")
    wanted: dict[str, tuple[list[str], Any]] = {
        "port": (["--port", "1"], 1),
        "blob_port": (["--blob-port", "2"], 2),
        "account": (["--account", "a"], "a"),
        "key": (["--key", KEY], KEY),
        "profile": (["--profile", "faulty"], "faulty"),
        "seed": (["--seed", "3"], 3),
        "jitter": (["--jitter", "0.5"], 0.5),
        "fault_rates": (
            ["--fault-rate", "slow=0.5", "--fault-rate", "unusable=0"],
            {"slow": 0.5, "unusable": 0},
        ),
        "speed": (["--speed", "10"], 10),
        "root": (["--root", str(tmp_path)], tmp_path),
        "tls": (["--tls", "t"], Path("t")),
        "shared_key": (["--no-shared-key"], False),
        "legacy_ssh": (["--legacy-ssh"], True),
        "containers": (["--containers", "podman"], "podman"),
        "mounts": (["--mount", f"//s/a=b={tmp_path}"], {"//s/a=b": tmp_path}),
    }

    main([word for words, _ in wanted.values() for word in words])
    main(["--state", str(tmp_path / "state")])

    every, state = given
    assert {name: getattr(every, name) for name in wanted} == {
        name: value for name, (_, value) in wanted.items()
    }
    assert (state.state, state.legacy_ssh) == (tmp_path / "state", False)
    assert {field.name for field in fields(EmulatorOptions)} == {*wanted, "state", "clock"}


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "airflow_provider_batchlinux.emulator", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_emulator_in_a_thread_leaves_nothing(tmp_path: Path) -> None:
    with run_emulator(EmulatorOptions(root=tmp_path)) as emulator:
        assert emulator.control.requests() == []
        assert len(list(tmp_path.iterdir())) == 1

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        emulator.control.requests()


def test_two_emulators_know_nothing_of_each_other() -> None:
    with run_emulator() as one, run_emulator() as other:
        assert one.endpoint != other.endpoint
        assert one.key != other.key


def test_a_port_that_is_taken_is_an_error_for_the_caller() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        run_emulator(EmulatorOptions(port=taken.getsockname()[1])),
    ):
        pass


def test_wrong_options_are_named_all_at_once() -> None:
    with pytest.raises(ValueError, match="profile") as refusal:
        EmulatorOptions(profile="fast", speed=0, key="?", root=Path("/nowhere"))  # type: ignore[arg-type]

    assert str(refusal.value).splitlines() == [
        "profile must be 'instant', 'realistic' or 'faulty', not 'fast'.",
        "speed must be greater than 0, not 0.",
        "key must be base64.",
        "root is '/nowhere', but this directory does not exist.",
    ]


def test_the_key_does_not_show_in_the_options() -> None:
    assert KEY not in repr(EmulatorOptions(key=KEY))


def _wait_for_pid(root: Path) -> int:
    deadline = time.monotonic() + 10
    while True:
        for path in root.glob("*/*/*/*/startup/wd/pid"):
            if text := path.read_text():
                return int(text)
        assert time.monotonic() < deadline, "the start task has not started"
