"""What a trigger tells the task that waits for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.events import WaitEvent

VALUES = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3)


@given(VALUES, VALUES, st.none() | VALUES)
def test_an_event_passes_through_json_unchanged(
    arguments: dict[str, Any], result: dict[str, Any], error: dict[str, Any] | None
) -> None:
    event = WaitEvent("a.Trigger", arguments, result, error)

    assert WaitEvent.from_payload(json.loads(json.dumps(event.to_payload()))) == event


def test_an_event_that_went_well_carries_no_error() -> None:
    event = WaitEvent("a.Trigger", {"pool_id": "etl"}, {"idle": 2})

    assert event.to_payload() == {
        "version": 2,
        "trigger": "a.Trigger",
        "arguments": {"pool_id": "etl"},
        "result": {"idle": 2},
        "error": None,
    }


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        pytest.param(None, "None", id="no payload"),
        pytest.param({}, "None", id="an event of another sender"),
        pytest.param({"version": 3, "arguments": {}}, "3", id="a later version"),
    ],
)
def test_an_event_of_another_version_is_refused_with_the_remedy(
    payload: dict[str, Any] | None, version: str
) -> None:
    with pytest.raises(
        ValueError, match=f"has version {version}, and this worker reads versions 1 to 2"
    ) as refused:
        WaitEvent.from_payload(payload)

    assert "Update both, then clear the task." in str(refused.value)
