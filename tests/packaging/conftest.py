"""What packaging tests stand on: the distribution as users get it, installed apart from this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_batchlinux"


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it, and the home of a user who has nothing else."""

    folder: Path
    home: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment, and return what it prints."""
        home = str(self.home)
        ran = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": home, "AIRFLOW_HOME": home},
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Build the source distribution, and the wheel from it; give the folder with both.

    Those that `make release` has built are taken as they are.
    """
    if given := os.environ.get("BATCHLINUX_DISTRIBUTIONS"):
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation, so that nothing is downloaded: the build backend is a development dependency.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """Give the wheel."""
    [found] = distributions.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel into an environment that sees the dependencies of this one, but not this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    [site_packages] = folder.glob("lib/python*/site-packages")
    _link_dependencies(Path(sysconfig.get_path("purelib")), site_packages)
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([str(folder / "bin" / "python"), *install], check=True)
    return Installation(folder, tmp_path_factory.mktemp("home"))


def _link_dependencies(source: Path, target: Path) -> None:
    # An editable install leaves a .pth file and a folder with metadata: neither may stand in for the wheel's.
    for entry in source.iterdir():
        link = target / entry.name
        if entry.suffix != ".pth" and PACKAGE not in entry.name and not link.exists():
            link.symlink_to(entry)
