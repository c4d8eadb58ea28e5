"""What a person gets from the command: variables for clients, a text, a log."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from azure.storage.blob import BlobServiceClient

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator
from airflow_provider_batchlinux.emulator.__main__ import main
from airflow_provider_batchlinux.emulator.first_steps import environment_of, greeting, write_environment
from tests.emulator.conftest import Account

AIRFLOW = "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT"


def sourced(path: Path) -> dict[str, str]:
    """Return the variables that a shell has after it has read a file."""
    ran = subprocess.run(["/bin/sh", "-c", f". {path} && env -0"], env={}, capture_output=True, check=True)
    lines = [line for line in ran.stdout.decode().split("\0") if line]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_a_shell_reads_the_variables_that_clients_need(
    batch_emulator: RunningEmulator, tmp_path: Path
) -> None:
    path = tmp_path / "env"
    path.touch(mode=0o644)
    write_environment(path, environment_of(batch_emulator))

    found = sourced(path)
    connection = json.loads(found[AIRFLOW])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert environment_of(batch_emulator).items() <= found.items()
    assert (connection["login"], connection["password"]) == (batch_emulator.account, batch_emulator.key)
    assert connection["extra"] == {"account_url": batch_emulator.endpoint}
    storage = json.loads(found["AIRFLOW_CONN_WASB_DEFAULT"])
    assert (storage["host"], storage["password"]) == (
        batch_emulator.storage.endpoint,
        batch_emulator.storage.key,
    )
    batch_emulator.container("data")
    with BlobServiceClient.from_connection_string(found["AZURE_STORAGE_CONNECTION_STRING"]) as client:
        assert [container.name for container in client.list_containers()] == ["data"]


def test_over_tls_the_variables_are_those_of_azure_identity(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity import EnvironmentCredential

    environment = environment_of(secure_emulator)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    trust = environment["BATCHLINUX_EMULATOR_CA"]

    with EnvironmentCredential(connection_verify=trust, disable_instance_discovery=True) as credential:
        assert credential.get_token("https://batch.core.windows.net//.default").token
    assert json.loads(environment[AIRFLOW])["extra"]["ca_file"] == trust
    register = f"--endpoint-resource-manager {environment['BATCHLINUX_EMULATOR_MANAGEMENT_URL']}\n"
    assert register in greeting(secure_emulator)


def test_the_greeting_can_be_pasted(batch_emulator: RunningEmulator, tmp_path: Path) -> None:
    text = greeting(batch_emulator)
    exports = [line.strip() for line in text.splitlines() if line.strip().startswith("export ")]
    (tmp_path / "env").write_text("\n".join(exports))

    found = sourced(tmp_path / "env")
    wanted = environment_of(batch_emulator)
    names = {
        AIRFLOW,
        "AIRFLOW_CONN_WASB_DEFAULT",
        "AZURE_BATCH_ACCOUNT",
        "AZURE_BATCH_ENDPOINT",
        "AZURE_BATCH_ACCESS_KEY",
    }
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}
    assert f"'Authorization: Bearer {batch_emulator.control_token}'" in text


def test_the_file_keeps_ports_and_key_for_the_next_start(
    batch_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[EmulatorOptions] = []

    async def serve(options: EmulatorOptions, write_env: Path | None) -> None:
        given.append(options)

    monkeypatch.setattr("airflow_provider_batchlinux.emulator.__main__._serve", serve)
    path = tmp_path / "env"
    write_environment(path, environment_of(batch_emulator))
    for more in ([], ["--port", "1"]):
        main(["--write-env", str(path), *more])
    main(["--write-env", str(tmp_path / "new")])

    kept, other, new = given
    port = int(environment_of(batch_emulator)["BATCHLINUX_EMULATOR_PORT"])
    assert (kept.port, kept.key) == (port, batch_emulator.key)
    assert (other.port, other.blob_port, other.key) == (1, kept.blob_port, kept.key)
    assert (new.port, new.blob_port, new.key) == (0, 0, None)


def test_a_file_of_something_else_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "env"
    path.write_text("export PATH=/bin\n")
    with pytest.raises(SystemExit):
        main(["--write-env", str(path)])

    assert "was not written by batchlinux-emulator" in capsys.readouterr().err
    assert path.read_text() == "export PATH=/bin\n"


def test_the_log_shows_each_request_without_signatures(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "airflow_provider_batchlinux.emulator.requests"):
        account.send("GET", "/pools/none")
        account.send("POST", "/pools?sig=secret", {})

    first, second = (record.getMessage() for record in caplog.records if record.name.endswith(".requests"))
    assert re.fullmatch(r"404 GET /pools/none\?api-version=2025-06-01 [0-9.]+ ms", first)
    assert second.startswith("400 POST /pools?sig=REDACTED")


def test_a_person_sees_what_to_do_first() -> None:
    # What a terminal shows is what the command writes to a pseudo terminal.
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "airflow_provider_batchlinux.emulator"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, start_new_session=True) as process:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            shown = ""
            while "ready {" not in shown or not shown.endswith("\n"):
                shown += terminal.read(4096).decode()
            lines = [line.rstrip() for line in shown.splitlines()]
            ready = json.loads(lines.pop().removeprefix("ready "))
            status = next(line.strip() for line in lines if "/_emulator/status" in line)
            with urlopen(f"{ready['endpoint']}/_emulator/prices", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0

    assert lines[0] == (
        f"The embedded Batch service serves account '{ready['account']}' at {ready['endpoint']}. "
        "Stop it with Ctrl+C."
    )
    assert (
        status
        == f"http://emulator:{ready['control_token']}@{urlsplit(ready['endpoint']).netloc}/_emulator/status"
    )
    titles = [line for line in lines[1:] if line.endswith(":") and not line.startswith(" ")]
    assert len(titles) == 4


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--fault-rate", "slow"], "'slow' is not NAME=RATE, such as throttled=0.1"),
        (["--fault-rate", "slow=often"], "'slow=often' is not NAME=RATE"),
        (["--mount", "/srv/data"], "'/srv/data' is not SOURCE=DIRECTORY"),
    ],
)
def test_an_option_of_two_parts_that_lacks_one_is_refused_with_its_form(
    option: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(option)

    assert said in capsys.readouterr().err
