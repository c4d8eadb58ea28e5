"""The metadata of a pool, which others write, cannot break what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, PoolMarks
from airflow_provider_batchlinux.core.pools.repair import history_in, switched_off_formula
from airflow_provider_batchlinux.core.pools.usage import Usage
from airflow_provider_batchlinux.core.users.ledger import entries_in

TEXTS = {
    "half a character": '[["a\\ud83d", "b", "c"], {"by": {"x": "\\ud83d"}}]',
    "half a character in an object": '{"by": {"dag_id": "\\ud83d"}, "key": "\\ud83d", "version": "\\ud83d"}',
    "NUL": '{"by": {"dag_id": "\\u0000"}, "version": "\\u0000"}',
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "long number": "9" * 10_000,
    "no number": '{"version": Infinity, "failed_at": NaN}',
    "numbers": "[1e999, -1e999, NaN, 7]",
    "other types": '[[], {}, null, 7, "x"]',
    "list": '[["a", "b", "c"], ["d"]]',
}
READERS: dict[str, Callable[[Mapping[str, str]], object]] = {
    "marks": PoolMarks.read,
    "users": entries_in,
    "repairs": history_in,
    "formula": switched_off_formula,
    "usage": Usage.read,
}
NAMES = ("version", "holders", "takers", "user_eve", "repairs", "repair_autoscale", "usage", "expires_at",
         "kept_until", "max_node_hours", "shared")  # fmt: skip


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_in_the_metadata_is_read(text: str) -> None:
    owner = {f"{METADATA_PREFIX}{name}": "x" for name in ("dag_id", "run_id", "installation")}
    for version in ("1", "2"):
        every = {f"{METADATA_PREFIX}{name}": text for name in NAMES}
        for metadata in (every, {**owner, **every, f"{METADATA_PREFIX}version": version}):
            for read in READERS.values():
                str(read(metadata)).encode()
