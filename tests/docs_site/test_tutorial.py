"""The tutorial, done step by step as it says, with the wheel in an environment of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from tests.packaging.conftest import Installation
from tests.source_code import ROOT

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STEPS = dict(re.findall(r"^<!-- step: ([\w ]+) -->\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
DAG_FILE = "airflow/dags/etl_on_linux.py"


def test_the_steps_are_those_that_are_tested() -> None:
    names = ["install", "service", "prepare", "images", "dag", "run", "account", "run on the account"]

    assert list(STEPS) == names
    assert PAGE.count("```bash\n") == len(names) - 1
    assert STEPS["dag"].startswith(f"# {DAG_FILE}\n")


def test_what_is_installed_exists() -> None:
    [(name, extra)] = re.findall(r"^pip install '([\w-]+)\[(\w+)\]'$", STEPS["install"], re.MULTILINE)

    assert extra in (metadata(name).get_all("Provides-Extra") or [])


def test_the_steps_lead_to_a_dag_that_succeeds(installation: Installation, tmp_path: Path) -> None:
    # Over TLS, and at the speed of the tutorial's service, in the place of the real account.
    options = EmulatorOptions(tls=tmp_path / "tls", profile="realistic", speed=10)
    with run_emulator(options) as real, service(installation, tmp_path):
        (tmp_path / DAG_FILE).parent.mkdir(parents=True)
        (tmp_path / DAG_FILE).write_text(STEPS["dag"])
        url = f'"{real.endpoint}", "ca_file": "{real.ca}"'
        account = STEPS["account"].replace('"https://ACCOUNT.REGION.batch.azure.com"', url)
        account = account.replace("ACCOUNT", real.account).replace("KEY", real.key)
        steps = [STEPS["prepare"], STEPS["images"], STEPS["run"], account, STEPS["run on the account"]]

        said = run(installation, tmp_path, "\necho NEXT STEP\n".join(steps))

        _, images, first, on_account, second = said.split("NEXT STEP")
        asked = [request["operation"] for request in real.control.requests()]
    for output in (images, on_account):
        assert re.search(r"^\* +canonical:ubuntu-24_04-lts", output, re.MULTILINE), output
    for output in (first, second):
        assert re.search(r"mon: 8, computed on node tvmps_\w+", output), output
        assert re.search(r"tue: 15, computed on node tvmps_\w+", output), output
    assert (asked.count("create_pool"), asked.count("delete_pool")) == (1, 1)


@contextmanager
def service(installation: Installation, folder: Path) -> Iterator[None]:
    """Start the embedded service as the tutorial says, and stop it at the end."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {STEPS['service']}"],
        cwd=folder,
        env=environment(installation),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            # In no terminal, it prints the one line for programs when it is ready.
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def run(installation: Installation, folder: Path, script: str) -> str:
    """Run a script in bash, and return what it prints."""
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment(installation),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"It failed after {time.monotonic() - began:.0f} s:\n{done.stdout[-5000:]}")
    return done.stdout


def environment(installation: Installation) -> dict[str, str]:
    """Return the environment of a terminal in which the virtual environment is activated."""
    # The packages that the wheel needs are linked into the environment, without their commands.
    airflow = installation.folder / "bin" / "airflow"
    airflow.write_text(f'#!/bin/sh\nexec {installation.folder}/bin/python -m airflow "$@"\n')
    airflow.chmod(0o755)
    path = f"{installation.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(installation.home)}
