"""What a person sees of a failure: the cause is on the screen where Airflow opens the log of the task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.account import Account
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone
from tests.ui.conftest import SHOTS, Runs
from tests.ui.test_browser import Visit, visits

LAPTOP = {"width": 1440, "height": 900}
CORES = 100

CAUSES = {
    "fails_in_start_task": ("will not become ready: 1 starttaskfailed", "E: Unable to locate package nosuch"),
    "fails_without_image": ("image='ubuntu 99.04'", "Ask for what one of these is"),
    "fails_at_the_quota": ("AccountCoreQuotaReached", "Remedy: ask for a higher dedicated core quota"),
    "fails_with_a_wrong_key": ("Server failed to authenticate the", "Check the account name and key"),
    "fails_in_the_command": ("failed: exit", "json.decoder.JSONDecodeError"),
    "fails_without_connection": ("Connection 'nowhere' is not defined.",),
}
"""By the Dag: the cause, and the remedy or the words of the program."""


IS_SEEN = """words => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const at = texts.currentNode.data.indexOf(words);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(texts.currentNode, at);
    range.setEnd(texts.currentNode, at + words.length);
    const { left, right, top, bottom } = range.getBoundingClientRect();
    const inside = top >= 0 && bottom <= innerHeight;
    const shown = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    if (inside && shown && shown.contains(texts.currentNode)) return true;
  }
  return false;
}"""
"""Whether a text is inside the window, and nothing hides it."""


@pytest.fixture(scope="module")
def failures(api: AirflowApi, account: Account, runs: Runs) -> dict[str, Run]:  # its pool
    """Let each Dag fail."""
    account.control.set_capacity()
    failures = {dag_id: api.trigger(dag_id) for dag_id in CAUSES if dag_id != "fails_at_the_quota"}
    assert {run.wait() for run in failures.values()} == {"failed"}
    # Last, because the pool that is too large takes all cores that are left.
    account.control.set_quota(dedicated_cores=CORES)
    failures["fails_at_the_quota"] = api.trigger("fails_at_the_quota")
    assert failures["fails_at_the_quota"].wait() == "failed"
    account.control.set_quota()
    return failures


@pytest.fixture
def laptop(failures: dict[str, Run], browser: Any, airflow: Standalone) -> Iterator[Visit]:
    """Log in as the admin, on a screen of usual size."""
    yield from visits(browser, airflow, "ann", "light", LAPTOP)


@pytest.mark.parametrize("dag_id", CAUSES)
def test_the_cause_is_on_the_screen_that_airflow_opens(
    laptop: Visit, failures: dict[str, Run], dag_id: str
) -> None:
    page = laptop.page
    laptop.open(f"/dags/{dag_id}/runs/{failures[dag_id].run_id}/tasks/failing")
    # Airflow scrolls to the end of the log when it has read it.
    page.get_by_text("Task failed with exception").last.wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"20-{dag_id}.png"))
    for words in CAUSES[dag_id]:
        assert page.evaluate(IS_SEEN, words), words
