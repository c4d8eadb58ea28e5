"""The lock files name one exact version of all that the project asks for."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT

LOCKS = ["requirements.lock", "requirements-floor.lock"]
ASKED = [Requirement(text) for text in requires("airflow-provider-batchlinux") or []]


def locked(name: str) -> dict[str, str]:
    """Give the version of each package in a lock file, for any Python."""
    lines = (ROOT / name).read_text().splitlines()
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_each_line_names_an_exact_version_and_no_place(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)] == []


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_what_the_project_asks_for_is_locked_as_asked(asked: Requirement, name: str) -> None:
    assert asked.specifier.contains(locked(name)[canonicalize_name(asked.name)])


def test_the_floor_is_the_oldest_airflow_that_the_project_allows() -> None:
    [airflow] = [asked for asked in ASKED if asked.name == "apache-airflow"]
    floor = locked("requirements-floor.lock")["apache-airflow"]

    assert str(airflow.specifier) == f">={floor.removesuffix('.0')}"
