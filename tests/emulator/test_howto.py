"""The tests that the how-to shows really run, with the fixtures that it names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from airflow_provider_batchlinux.emulator import pytest_plugin
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "test-your-dags-without-azure.md").read_text(encoding="utf-8")
TESTS, _, _, CONFTEST, FILES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run_pytest(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a separate process, which knows the plugin even if it is not installed."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    options = ["-q", "-p", "no:cacheprovider", "--strict-markers", "-p", pytest_plugin.__name__]
    return subprocess.run(
        warm_python("-m", "pytest", *options, str(folder)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tests_that_the_how_to_shows_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, test_shown=TESTS, test_files=FILES)

    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_options_that_the_how_to_overrides_hold_for_the_service(tmp_path: Path) -> None:
    test = """
    def test_time_is_moved_by_hand(batch_emulator):
        before = batch_emulator.control.now()

        assert (batch_emulator.control.advance(60) - before).total_seconds() == 60
    """
    done = run_pytest(tmp_path, conftest=CONFTEST, test_clock=test.replace("\n    ", "\n"))

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_how_to_names_each_fixture() -> None:
    fixtures = set(pytest_plugin.__all__) - {"pytest_configure"}

    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == fixtures
