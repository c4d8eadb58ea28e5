"""The command that evaluates a formula on a pool that is made up."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.autoscale.__main__ import main
from airflow_provider_batchlinux.emulator.autoscale.measures import MEASURED
from airflow_provider_batchlinux.specs import by_pending_tasks, by_working_hours, zero_when_idle
from tests.batch_account import NODE_AGENT, UBUNTU

MONDAY, SUNDAY = "2026-11-23T09:00Z", "2026-11-22T09:00Z"


class Command:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.code = 0

    def lines(self, formula: str, *arguments: str) -> list[str]:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(formula))
        self.code = main(arguments)
        said = self._capsys.readouterr()
        return [*said.out.splitlines(), *said.err.splitlines()]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_working_hours_are_told_moment_by_moment(command: Command) -> None:
    lines = command.lines(by_working_hours(dedicated=3), "--at", MONDAY, "--at", SUNDAY)

    assert [line.split("  ")[:2] for line in lines] == [
        ["Mon 2026-11-23 09:00", "3 dedicated, 0 spot, taskcompletion"],
        ["Sun 2026-11-22 09:00", "0 dedicated, 0 spot, taskcompletion"],
    ]


@pytest.mark.parametrize(("pending", "spot"), [("0", 0), ("0,0,7", 4), ("80", 20), ("40,0", 10), ("8,0", 2)])
def test_pending_tasks_are_told_by_samples(command: Command, pending: str, spot: int) -> None:
    formula = by_pending_tasks(max_spot=20, task_slots_per_node=2, window_minutes=1)

    [line] = command.lines(formula, "--sample", f"PendingTasks={pending}", "--at", MONDAY)

    assert f"0 dedicated, {spot} spot, taskcompletion" in line


def test_a_pool_keeps_the_nodes_that_it_is_said_to_have(command: Command) -> None:
    [line] = command.lines(zero_when_idle(dedicated=5), "--dedicated", "3", "--at", MONDAY)

    assert "3 dedicated, 0 spot" in line


def test_the_formulas_own_variables_are_shown(command: Command) -> None:
    [line] = command.lines(
        "nodes = $CurrentDedicatedNodes + 1; $TargetDedicatedNodes = nodes;", "--dedicated", "2"
    )

    assert "3 dedicated, 0 spot, requeue" in line
    assert line.endswith("nodes=3")


def test_a_formula_is_read_from_its_file(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "formula"
    file.write_text("$TargetDedicatedNodes = 7;")

    assert "7 dedicated" in command.lines("", str(file))[0]


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        pytest.param("$TargetDedicatedNodes = ;", "AutoScalingFormulaSyntaxError", id="no formula"),
        pytest.param("$TargetDedicatedNodes = unknown;", "AutoScalingFormulaEvaluationError", id="no value"),
    ],
)
def test_a_formula_that_is_refused_is_told_with_code_and_place(
    command: Command, formula: str, code: str
) -> None:
    first, place = command.lines(formula)

    assert command.code == 1
    assert first.startswith(f"{code}: ")
    assert place.startswith("Line 1, Col ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--sample", "Tasks=1"], "$Tasks is not a metric: $ActiveTasks", id="no metric"),
        pytest.param(["--sample", "PendingTasks=few"], "'few' is not a list of numbers", id="no numbers"),
        pytest.param(["--at", "noon"], "'noon' is not a time such as", id="no time"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_a_sentence(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)

    assert expected in capsys.readouterr().err


def test_the_commands_of_the_howto_print_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "create-a-pool.md").read_text()
    [block] = [each for each in re.findall(r"```console\n(.*?)```", page, re.DOTALL) if "autoscale" in each]
    expected = [line for line in block.splitlines() if not line.startswith("$ ")]
    script = "\n".join(line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=True,
    )

    # The first is of the moment at which it is run.
    said = done.stdout.decode().splitlines()
    assert [line[_MOMENT:].partition("$now=")[0] for line in said] == [
        line[_MOMENT:].partition("$now=")[0] for line in expected
    ]
    assert [line[:_MOMENT] for line in said[1:]] == [line[:_MOMENT] for line in expected[1:]]


_MOMENT = len("Mon 2026-11-23 07:23")


def test_all_that_is_measured_of_a_pool_can_be_made_up(start: Any) -> None:
    account = start()
    named = "".join(f"v{place} = {name}; " for place, name in enumerate(MEASURED))
    machine = {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT}
    body = {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
    formula = {"enableAutoScale": True, "autoScaleFormula": f"{named}$TargetDedicatedNodes = 1;"}

    assert account.send("POST", "/pools", {**body, **formula}) == 201
    assert "error" not in account.send("GET", "/pools/linux")["autoScaleRun"]
