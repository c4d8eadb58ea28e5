"""How a node makes the environment of a function, with an interpreter that only writes down its calls."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from airflow_provider_batchlinux.core.functions.call import script

TEMPLATE = resources.files("airflow_provider_batchlinux.on_node").joinpath("run_function.sh").read_text()
PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    "-m venv"*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
    "-m pip --python"*) [ "$PIP" = new ] ;;
    -c*) echo 3.11 ;;
esac
"""


@pytest.mark.parametrize("pip", ["new", "old"])
def test_a_new_pip_serves_the_environment_and_an_old_one_is_installed_in_it(tmp_path: Path, pip: str) -> None:
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(PYTHON)
    python.chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "LOG": str(log),
        "PIP": pip,
        "AZ_BATCH_NODE_SHARED_DIR": str(tmp_path),
    }

    for _ in range(2):
        subprocess.run(
            ["sh", "-c", script(TEMPLATE, str(python), ["three==3.0"], "")], env=environment, check=True
        )

    [made] = tmp_path.glob("airflow-batchlinux/*/complete")
    quietly = "--quiet --disable-pip-version-check -r requirements.txt"
    installs = {
        "new": [f"-m pip --python {made.parent}/bin/python install {quietly}"],
        "old": [f"-m venv {made.parent}", f"-m pip install {quietly}"],
    }
    calls = [call for call in log.read_text().splitlines() if not call.startswith(("-c", "run_function"))]
    assert calls == [
        f"-m venv --without-pip {made.parent}",
        f"-m pip --python {made.parent}/bin/python --version",
        *installs[pip],
    ]
