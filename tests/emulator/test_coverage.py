"""The page on what the embedded service covers is up to date."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_batchlinux.emulator.coverage import NOTES, OLDER, PARTLY, coverage_page
from airflow_provider_batchlinux.emulator.http.routes import OPERATIONS, RETIRED

PAGE = Path(__file__).parents[2] / "docs" / "emulator-coverage.md"


def test_the_page_is_the_one_that_is_generated() -> None:
    command = "python -m airflow_provider_batchlinux.emulator.coverage > docs/emulator-coverage.md"

    assert PAGE.read_text(encoding="utf-8") == coverage_page(), f"Run: {command}"


def test_what_is_partly_covered_has_a_handler() -> None:
    handled = {operation.name for operation in OPERATIONS if operation.handler is not None}

    assert {*PARTLY, *NOTES} <= handled
    assert not PARTLY.keys() & NOTES


def test_every_operation_has_one_row() -> None:
    page, every = coverage_page(), [*OPERATIONS, *RETIRED]

    assert [page.count(f"| `{operation.name}` |") for operation in every] == [1] * len(every)


def test_notes_on_older_operations_name_some() -> None:
    assert set(OLDER) <= {operation.name for operation in RETIRED}
