"""Every answer of the contract tests is held against the SDK's models; this is what is found then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.answer_schema import KNOWN, VERSION, check_answer, problems

TIME = "2026-02-05T18:42:29.2449253Z"
POOL = {
    "odata.metadata": "https://x/$metadata#pools/@Element",
    "id": "linux",
    "url": "https://x/pools/linux",
    "eTag": "0x1",
    "lastModified": TIME,
    "creationTime": TIME,
    "state": "ACTIVE",
    "stateTransitionTime": TIME,
    "vmSize": "standard_d2s_v5",
    "currentDedicatedNodes": 0,
    "currentLowPriorityNodes": 0,
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({}, None, id="as it is to be"),
        pytest.param({"colour": "red"}, "BatchPool.colour: unknown", id="unknown"),
        pytest.param({"resizeTimeout": None}, "BatchPool.resizeTimeout: null", id="null"),
        pytest.param({"creationTime": "soon"}, "BatchPool.creationTime: text is no datetime", id="time"),
        pytest.param(
            {"resizeTimeout": "15m"}, "BatchPool.resizeTimeout: text is no timedelta", id="duration"
        ),
        pytest.param({"state": "lost"}, "BatchPool.state: lost is no BatchPoolState", id="choice"),
        pytest.param(
            {"targetDedicatedNodes": "1"}, "BatchPool.targetDedicatedNodes: text is no int", id="type"
        ),
        pytest.param({"metadata": {}}, "BatchPool.metadata: dict is no list", id="list"),
        pytest.param({"startTask": []}, "BatchStartTask: list is no object", id="object"),
        pytest.param(
            {"startTask": {"waitForSuccess": True}}, "BatchStartTask.commandLine: missing", id="missing"
        ),
    ],
)
def test_what_differs_from_the_models_is_found(changes: dict[str, Any], problem: str | None) -> None:
    assert list(problems({**POOL, **changes})) == ([] if problem is None else [problem])


def test_lists_are_looked_at_item_by_item() -> None:
    body = {"odata.metadata": "https://x/$metadata#pools", "value": [POOL, {**POOL, "id": 1}]}

    assert list(problems(body)) == ["BatchPool.id: int is no str"]


def test_what_was_not_asked_for_is_not_missed() -> None:
    body = {"odata.metadata": "https://x/$metadata#pools/@Element", "id": "linux"}

    assert list(problems(body, is_partial=True)) == []
    assert "BatchPool.url: missing" in list(problems(body))


def test_an_answer_of_the_newest_version_that_differs_fails_its_test() -> None:
    wrong = b'{"odata.metadata":"https://x/$metadata#pools/@Element","colour":"red"}'

    check_answer("https://x/pools/linux?api-version=2024-07-01.20.0", wrong)
    with pytest.raises(AssertionError, match="colour: unknown"):
        check_answer(f"https://x/pools/linux?api-version={VERSION}", wrong)


def test_the_exceptions_are_few() -> None:
    assert len(KNOWN) == 9
