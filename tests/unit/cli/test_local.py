"""The commands that concern this machine alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_batchlinux.cli.main import main
from tests.source_code import ROOT


def test_the_example_dags_are_copied_once_and_changed_ones_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = tmp_path / "batchlinux_examples"
    assert main(["examples", "--to", str(tmp_path)]) == 0
    copied = {path.relative_to(examples) for path in examples.rglob("*") if path.is_file()}
    files = {path for path in (ROOT / "example_dags").rglob("*") if path.is_file()}
    assert copied == {path.relative_to(ROOT / "example_dags") for path in files if path.suffix != ".pyc"}

    assert main(["examples", "--to", str(tmp_path)]) == 1
    assert "has all of them already" in capsys.readouterr().err
    mine = examples / "example_etl.py"
    mine.write_text("mine")
    assert main(["examples", "--to", str(tmp_path)]) == 1
    assert mine.read_text() == "mine"
    assert main(["examples", "--to", str(tmp_path), "--overwrite"]) == 0
    assert mine.read_bytes() == (ROOT / "example_dags" / "example_etl.py").read_bytes()


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    line = "batchlinux pools resize --ded"
    answer = tmp_path / "answer"
    environment = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": "bash", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "IFS": "\v",
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "airflow_provider_batchlinux.cli.main"], env=environment, check=True
    )

    assert answer.read_text().strip() == "--dedicated"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_needs_for_that_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "batchlinux" in capsys.readouterr().out


def test_the_embedded_service_takes_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _path, arguments: called.append(arguments))

    main(["emulator", "--port", "0", "--help"])

    assert called[0][1:] == ["-m", "airflow_provider_batchlinux.emulator", "--port", "0", "--help"]
