"""The stored schema of REST bodies is that of the installed azure-batch package."""

from __future__ import annotations

from airflow_provider_batchlinux.rest_schema import schema
from tests.rest_schema import FILE, SECRETS, generated, text_of


def test_the_stored_schema_is_the_one_generated_from_the_sdk() -> None:
    assert generated() == schema()
    assert FILE.read_text(encoding="utf-8") == text_of(generated())


def test_all_secrets_are_marked() -> None:
    marked = {
        (model, name)
        for model, body in schema()["bodies"].items()
        for name, kind in body["properties"].items()
        if kind.startswith("secret")
    }

    assert marked == SECRETS
