"""What is read of the result file of a function, which any program on the node may have written."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.functions.call import returned_part


@pytest.mark.parametrize(
    ("result", "as_json", "as_pickle"),
    [
        ({"value": None}, True, False),
        ({"value": {"pickled": "gAR9Lg=="}}, True, False),
        ({"pickled": "gAR9Lg=="}, False, True),
        ({"pickled": 1}, False, False),
        ({"value": 1, "pickled": "gAR9Lg=="}, False, False),
        ({}, False, False),
        ([], False, False),
        ("value", False, False),
        (None, False, False),
    ],
)
def test_only_what_the_call_of_the_function_writes_is_read(
    result: Any, as_json: bool, as_pickle: bool
) -> None:
    for key, is_read in (("value", as_json), ("pickled", as_pickle)):
        if is_read:
            assert returned_part(result, key) == result[key]
        else:
            with pytest.raises(ValueError, match=f"it does not hold just '{key}'"):
                returned_part(result, key)
