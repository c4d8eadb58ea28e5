"""Build and check what a release uploads, and say what is against uploading it. Uploads nothing."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from zipfile import Path as ZipPath
from zipfile import ZipFile

from airflow_provider_batchlinux import __version__
from tests.source_code import PACKAGE, ROOT

DIST = ROOT / "dist"
BUILD = ROOT / "build" / "release"
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13")
URLS = ("Documentation", "Source", "Changelog")
"""The links that a release needs; Airflow's page of providers shows the first."""


def main() -> int:
    """Build and check the distributions; the answer is 0 if they can be uploaded as they are."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("tools", type=Path, help="folder with the programs of the environment for releases")
    tools = parser.parse_args().tools
    for folder in (DIST, BUILD):
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(parents=True)
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    files = sorted(map(str, DIST.iterdir()))
    _run(str(tools / "twine"), "check", "--strict", *files)
    # The very files that are uploaded later: their content, and what Airflow finds of them once installed.
    _run(sys.executable, "-m", "pytest", "-q", "tests/packaging", BATCHLINUX_DISTRIBUTIONS=str(DIST))
    [wheel] = DIST.glob("*.whl")
    for python in filter(_starts, PYTHONS):
        _check_dependencies(python, wheel, tools)
    problems = list(_against_a_release(wheel))
    print(f"\nBuilt and checked, not uploaded: {', '.join(Path(file).name for file in files)}")
    print(f"Components with their licences: {', '.join(str(path) for path in sorted(BUILD.glob('*.json')))}")
    for problem in problems:
        print(f"Against a release: {problem}")
    if not problems:
        print("Now follow docs/release.md from the step 'Upload'.")
    return 1 if problems else 0


def _starts(python: str) -> bool:
    """Return whether there is a Python: a version manager has commands also for others."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", ""], check=False, stderr=subprocess.DEVNULL).returncode == 0


def _run(*command: str, **environment: str) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment})


def _check_dependencies(python: str, wheel: Path, tools: Path) -> None:
    """Install the wheel in a new environment, then its extras; write down what came with them."""
    metadata = _metadata(wheel)
    extras = ",".join(metadata.get_all("Provides-Extra") or ())
    tested = str(ROOT / "requirements.lock")
    folder = BUILD / python
    _run(python, "-m", "venv", str(folder))
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    for asked in (str(wheel), f"{wheel}[{extras}]"):
        _run(*pip, "install", "--quiet", "--no-compile", "--constraint", tested, asked)
        _run(*pip, "check")
    components = BUILD / f"{python}.cdx.json"
    environment = str(folder / "bin" / "python")
    _run(str(tools / "cyclonedx-py"), "environment", environment, "--output-file", str(components))


def _against_a_release(wheel: Path) -> Iterator[str]:
    first = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    wanted = rf"{re.escape(__version__)} \(\d{{4}}-\d\d-\d\d\)"
    if first is None or not re.fullmatch(wanted, first[1]):
        yield f"CHANGELOG.md begins with {first and first[1]!r}, not with '{__version__} (date)'."
    status = subprocess.run(
        ["git", "status", "--porcelain"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    if status.stdout:
        yield f"uncommitted changes: {', '.join(line[3:] for line in status.stdout.splitlines()[:5])}"
    given = _metadata(wheel).get_all("Project-URL") or []
    urls = dict(url.split(", ", 1) for url in given)
    yield from (f"[project.urls] in pyproject.toml has no {name}." for name in URLS if name not in urls)
    yield from (
        f"{name} leads nowhere: {url} ({problem})" for name, url in urls.items() if (problem := _dead(url))
    )


def _metadata(wheel: Path) -> Any:
    with ZipFile(wheel) as archive:
        return PathDistribution(ZipPath(archive, f"{PACKAGE}-{__version__}.dist-info/")).metadata


def _dead(url: str) -> str:
    try:
        with urlopen(url, timeout=20):
            return ""
    except (URLError, OSError) as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
