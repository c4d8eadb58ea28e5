"""Where generated secrets may go, and how a destination shows itself."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination, SecretRequest


def save(request: SecretRequest, secret: str) -> None:
    """Keep nothing."""


def load(request: SecretRequest) -> str | None:
    """Find nothing."""
    return None


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"file": "/keys/etl"}, id="a file"),
        pytest.param({"file": "/keys/etl", "overwrite": True}, id="a file to replace"),
        pytest.param({"save": save}, id="a callback"),
        pytest.param({"save": save, "load": load}, id="a callback there and back"),
    ],
)
def test_one_place_is_enough(options: dict[str, Any]) -> None:
    assert KeyDestination(**options).problems("generate_key") == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({}, "takes a file or a save, one of the two", id="no place"),
        pytest.param({"file": "/k", "save": save}, "takes a file or a save, one of the two", id="two places"),
        pytest.param({"load": load}, "takes a file or a save, one of the two", id="only a way back"),
        pytest.param(
            {"file": "/k", "load": load}, "has load, which goes with save only", id="load of a file"
        ),
        pytest.param(
            {"save": save, "overwrite": True}, "has overwrite, which goes with a file", id="overwrite"
        ),
        pytest.param({"file": "keys/etl"}, "='keys/etl' is no absolute path", id="a relative path"),
        pytest.param({"file": "~/.ssh/etl"}, "is no absolute path", id="a home directory"),
    ],
)
def test_what_names_no_one_place_is_refused(options: dict[str, Any], problem: str) -> None:
    [found] = KeyDestination(**options).problems("generate_key")

    assert found.startswith("generate_key")
    assert problem in found


def test_a_private_key_in_the_place_of_a_path_is_not_repeated() -> None:
    [problem] = KeyDestination("-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret").problems("generate_key")

    assert problem.startswith("generate_key holds a private key.")
    assert "s3cret" not in problem


def test_a_destination_shows_the_same_at_every_parse_of_the_dag_file() -> None:
    assert repr(KeyDestination(file="/keys/etl")) == "KeyDestination(file='/keys/etl')"
    assert repr(KeyDestination(save=save, load=load)) == "KeyDestination(save=save, load=load)"


def test_only_a_place_that_gives_back_can_be_read_by_a_later_try() -> None:
    places = [KeyDestination("/keys/etl"), KeyDestination(save=save, load=load), KeyDestination(save=save)]

    assert [place.is_readable for place in places] == [True, True, False]


def test_the_comment_names_the_task_instance_whatever_the_order() -> None:
    owner = {"task_id": "add", "dag_id": "etl", "run_id": "manual__1", "map_index": "-1"}
    requests = [
        SecretRequest("password", "pool", "etl", dict(items))
        for items in (owner.items(), sorted(owner.items()))
    ]

    assert {request.comment for request in requests} == {
        "dag_id=etl map_index=-1 run_id=manual__1 task_id=add"
    }
