"""The tests that the how-to shows really run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "airflow_provider_batchlinux.emulator.pytest_plugin"


def test_the_tests_that_the_how_to_shows_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "test-your-dags-without-azure.md").read_text(encoding="utf-8")
    conftest, tests = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_shown.py").write_text(tests)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
