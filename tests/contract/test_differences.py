"""In what two services differ, as the report on a real account lists it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.azure.differences import Difference, differences
from tests.contract.azure_account import nodes_in
from tests.contract.test_recorded import ANSWERS

POOL = {"odata.metadata": "https://x/$metadata#pools/@Element", "id": "linux", "state": "active"}
REFUSED = {
    "odata.metadata": "https://x/$metadata#error",
    "code": "PoolExists",
    "message": {"value": "Taken.\nx"},
}


def exchange(status: int = 200, answer: Any = POOL, method: str = "GET", **more: Any) -> dict[str, Any]:
    known = {
        "test": "test_a",
        "target": "/pools/linux?api-version=1",
        "body": None,
        "headers": ["date", "etag"],
    }
    return {**known, "method": method, "status": status, "answer": answer, **more}


@pytest.mark.parametrize(
    ("real", "embedded", "said"),
    [
        ([exchange()], [exchange(), exchange()], []),
        ([exchange(target="/pools/a")], [exchange(target="/pools/b")], []),
        (
            [exchange(409, REFUSED)],
            [exchange()],
            [
                "only the embedded service answers GET /pools/x 200",
                "only the account answers GET /pools/x 409 PoolExists",
            ],
        ),
        (
            [exchange(answer={**POOL, "new": [{"inner": 1}]})],
            [exchange(answer={**POOL, "old": 1})],
            [
                "GET /pools/x 200: property only of the account: /new, /new[]/inner",
                "GET /pools/x 200: property only of the embedded service: /old",
            ],
        ),
        (
            [exchange(headers=["etag", "a"])],
            [exchange()],
            ["GET /pools/x 200: header only of the account: a"],
        ),
        (
            [exchange(409, {**REFUSED, "message": {"value": "In use."}})],
            [exchange(409, REFUSED)],
            ["GET /pools/x 409 PoolExists: the account says ['In use.'], the embedded service ['Taken.']"],
        ),
        ([exchange(test="test_b")], [exchange()], []),
    ],
    ids=["polls", "names", "code", "properties", "headers", "sentence", "another test"],
)
def test_differences_are_told_by_the_answers_to_the_same_test(
    real: list[Any], embedded: list[Any], said: list[str]
) -> None:
    assert sorted(each.what for each in differences(real, embedded)) == sorted(said)


def test_a_difference_holds_what_a_recording_needs() -> None:
    made = exchange(201, None, "POST", target="/pools?api-version=1", body={"id": "linux"})
    refused = exchange(409, REFUSED, "POST", target="/pools?api-version=1", body={"id": "linux"})

    [found] = [each for each in differences([made, refused], [made]) if each.recording is not None]

    assert found == Difference("test_a", "only the account answers POST /pools 409 PoolExists")
    assert found.recording == {
        "name": "POST/pools 409 PoolExists",
        "given": [["POST", "/pools", {"id": "linux"}]],
        "request": ["POST", "/pools?api-version=1"],
        "body": {"id": "linux"},
        "answer": {
            "status": 409,
            "headers": ["etag"],
            "code": "PoolExists",
            "sentence": "Taken.",
            "values": [],
        },
    }
    assert any(row.keys() >= found.recording.keys() for row in ANSWERS)


@pytest.mark.parametrize(
    ("body", "nodes"),
    [
        ({"targetDedicatedNodes": 2, "targetLowPriorityNodes": "1"}, 3),
        ({"poolInfo": {"autoPoolSpecification": {"pool": {"targetDedicatedNodes": 5}}}}, 5),
        ([{"id": "x"}], 0),
    ],
)
def test_the_nodes_that_a_request_asks_for_are_counted(body: Any, nodes: int) -> None:
    assert nodes_in(body) == nodes
