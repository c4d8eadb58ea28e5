"""The distributions hold what users need, and nothing else."""

from __future__ import annotations

import re
import runpy
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

import airflow_provider_batchlinux
from tests.packaging.conftest import ROOT

EXAMPLES = "airflow_provider_batchlinux/example_dags/"
PACKAGE = Path(airflow_provider_batchlinux.__file__).parent


@pytest.fixture
def wheel_files(wheel: Path) -> list[str]:
    """Give the names of the files in the wheel."""
    with ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture
def metadata(wheel: Path) -> Message:
    """Give what the wheel says of itself."""
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_the_wheel_holds_every_file_of_the_package(wheel_files: list[str]) -> None:
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    assert {str(path.relative_to(ROOT)) for path in files} == {
        name for name in wheel_files if ".dist-info/" not in name and not name.startswith(EXAMPLES)
    }


def test_the_wheel_brings_the_example_dags_for_the_command_that_copies_them(wheel_files: list[str]) -> None:
    files = {path for path in (ROOT / "example_dags").rglob("*") if path.is_file()}

    assert {name.removeprefix(EXAMPLES) for name in wheel_files if name.startswith(EXAMPLES)} == {
        str(path.relative_to(ROOT / "example_dags")) for path in files if "__pycache__" not in path.parts
    }


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel_files: list[str]) -> None:
    assert "airflow_provider_batchlinux/py.typed" in wheel_files


def test_the_wheel_carries_its_licence(wheel_files: list[str], metadata: Message) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_wheel_asks_for_no_exact_version(metadata: Message) -> None:
    asked = metadata.get_all("Requires-Dist")

    assert asked
    assert [requirement for requirement in asked if "==" in requirement.partition(";")[0]] == []


def test_the_source_distribution_brings_the_example_dags(distributions: Path) -> None:
    [sdist] = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "example_dags").glob("*.py")} <= names


def test_the_description_has_links_that_a_package_index_can_follow(metadata: Message) -> None:
    text = str(metadata.get_payload())

    assert "with DAG(" in text
    assert re.findall(r"\]\((?!https:)[^)]*\)", text) == []


def test_the_description_of_a_public_project_leads_to_its_files() -> None:
    description = runpy.run_path(str(ROOT / "docs" / "description.py"))["description"]
    readme = "![A page](docs/a.png)\n\n[one](docs/one.md), [other](https://example.com)"

    assert description(readme, None) == "one, [other](https://example.com)"
    assert description(readme, "https://example.com/tree/main/") == (
        "![A page](https://example.com/tree/main/docs/a.png)\n\n"
        "[one](https://example.com/tree/main/docs/one.md), [other](https://example.com)"
    )


def test_linter_and_type_checker_look_for_what_the_oldest_python_lacks(metadata: Message) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = metadata["Requires-Python"].removeprefix(">=")
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier") or ()))

    assert named[0] == oldest
    assert f'target-version = "py{oldest.replace(".", "")}"' in project
    assert f'python_version = "{oldest}"' in project
