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

    [made] = tmp_path.glob("airflow-batchlinux-*/*/complete")
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


def test_users_of_a_node_do_not_share_what_only_one_of_them_can_write(tmp_path: Path) -> None:
    python, user = tmp_path / "python", tmp_path / "id"
    python.write_text(PYTHON)
    user.write_text('#!/bin/sh\necho "$USER_ID"\n')
    for program in (python, user):
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LOG": str(tmp_path / "log"),
        "PIP": "new",
        "AZ_BATCH_NODE_SHARED_DIR": str(tmp_path),
    }

    for user_id in ("0", "1001"):
        shell = script(TEMPLATE, str(python), ["three==3.0"], "")
        subprocess.run(["sh", "-c", shell], env={**environment, "USER_ID": user_id}, check=True)

    made = sorted(path.name for path in tmp_path.glob("airflow-batchlinux*"))
    assert made == ["airflow-batchlinux-0", "airflow-batchlinux-1001"]


@pytest.mark.parametrize(
    ("version", "is_refused"),
    [("2.7", True), ("3.6", True), ("3.7", False), ("3.60", False), ("4.0", False)],
)
def test_an_interpreter_that_is_too_old_is_told_in_words(
    tmp_path: Path, version: str, is_refused: bool
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)

    ran = subprocess.run(
        ["sh", "-c", script(TEMPLATE, str(python), [], "")], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, "functions need 3.7" in ran.stderr) == (int(is_refused), is_refused)
