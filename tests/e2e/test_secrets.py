"""Secrets of mapped tasks are in no file and no table of Airflow."""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.conftest import SHORT_SECRET, Secrets
from tests.e2e.rest import AirflowApi
from tests.e2e.standalone import Standalone


def stored(airflow: Standalone) -> Iterator[tuple[str, str]]:
    """Give all that Airflow stores: each row of each table, and each file of its home."""
    yield from ((f"table {table}", row) for table, row in airflow.rows())
    for path in airflow.home.rglob("*"):
        if path.is_file() and not path.name.startswith("airflow.db"):
            yield str(path), path.read_text(errors="replace")


def test_no_secret_of_a_mapped_task_is_stored_anywhere(api: AirflowApi, airflow: Standalone, hidden: Secrets):
    run = api.trigger("mapped_secrets")

    assert run.wait() == "failed", "A private key in the place of a public one fails the task."
    assert run.states()["create"] == ["success", "success"]

    lines = [line for line in hidden.private_key.splitlines() if "KEY" not in line]
    fragments = [hidden.password, f"'{SHORT_SECRET}'", f'"{SHORT_SECRET}"', *lines]
    found = [(where, text) for where, text in stored(airflow) if any(part in text for part in fragments)]
    passed_on = {where for where, text in stored(airflow) if run.result("tell") in text}
    rendered = [text for where, text in stored(airflow) if where == "table rendered_task_instance_fields"]
    assert sorted({where for where, _ in found}) == []
    assert passed_on == {"table xcom"}, "What an XCom carries is in its own row only."
    assert any("mapped_secrets" in text and "***" in text for text in rendered)
