"""The digest by which a retry knows a function that was sent by cloudpickle."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.functions.pickles import digest_of_pickle

# Numbers with one hash modulo 8: the order of a set of them is that in which they were added.
plain = st.one_of(st.none(), st.booleans(), st.sampled_from([0, 8, 16, 24, 2.5, "a", "b", b"a"]))
hashable = st.recursive(plain, lambda inner: st.frozensets(inner) | st.tuples(inner, inner), max_leaves=6)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner) | st.dictionaries(hashable, inner) | st.sets(hashable),
    max_leaves=6,
)


def reordered(value: Any) -> Any:
    """Return an equal value whose sets and dicts were filled the other way round, of other objects."""
    if isinstance(value, dict):
        return {reordered(key): reordered(value[key]) for key in reversed(list(value))}
    if isinstance(value, (set, frozenset)):
        return type(value)(reordered(item) for item in reversed(list(value)))
    if isinstance(value, (list, tuple)):
        return type(value)(map(reordered, value))
    return "".join(list(value)) if isinstance(value, str) else value


@settings(max_examples=15, deadline=None)
@given(values)
def test_the_digest_is_that_of_the_value_in_whatever_order_its_sets_are(value: Any) -> None:
    assert digest_of_pickle(cloudpickle.dumps(value)) == digest_of_pickle(cloudpickle.dumps(reordered(value)))


def test_other_values_have_other_digests() -> None:
    loop: list[Any] = []
    loop.append(loop)
    given: list[Any] = [
        {1},
        {2},
        {1, 2},
        frozenset({1}),
        [1],
        [1, 2],
        [2, 1],
        [[1]],
        (1,),
        {1: 2},
        {2: 1},
        {1: (2,)},
    ]
    given += [
        True,
        1,
        1.0,
        "1",
        b"1",
        None,
        [],
        {},
        set(),
        (),
        loop,
        [loop],
        "",
        [None],
        slice(1, 2),
        slice(2, 1),
    ]

    assert len({digest_of_pickle(cloudpickle.dumps(value)) for value in given}) == len(given)


CALL = """
import enum, sys, cloudpickle
from airflow_provider_batchlinux.core.functions.pickles import digest_of_pickle

class Row:
    kinds = {"x", "y", "zz", "w"}
    def __init__(self):
        self.tags = {"a", "b", "c", "d"}

class Day(enum.Enum):
    MON = 1

def call(day, names={"q", "r", "s"}):
    def again(n):
        return again(n - 1) if n else Day.MON
    return day in {"mon", "tue", "wed"} and Row() and call and NUMBER

loop = [1]
loop.append(loop)
NUMBER = int(sys.argv[1])
cloudpickle.register_pickle_by_value(sys.modules[__name__])
given = [{"u", "v", "w"}, {"a": {("t", 1), ("s", 2)}}, loop, Row(), bytearray(b"x")]
print(digest_of_pickle(cloudpickle.dumps((call, given, {"k": {"z", "y"}}))))
"""


def test_each_process_has_the_same_digest_for_a_function_with_its_classes_and_sets() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", CALL, number],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, number in (("1", "1"), ("2", "1"), ("1", "2"))
    ]
    first, again, other = (run.communicate()[0] for run in runs)

    assert len(first) == 65
    assert first == again != other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_not_known_of_a_pickle_counts_by_its_bytes(protocol: int) -> None:
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    several = [pickle.dumps(value, protocol) for value in ({"a": (1, [2])}, {"a": (1, [3])}, nested)]

    assert len({digest_of_pickle(data) for data in (*several, b"no pickle", b"")}) == len(several) + 2
