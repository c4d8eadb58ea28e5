"""The page, and the users who look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.airflow_harness import AIRFLOW
from tests.airflow_page import Airflow, logins, served_page
from tests.batch_account import BatchAccount


@pytest.fixture(scope="session")
def auth() -> Iterator[Callable[[str], str]]:
    """Start Airflow's auth manager, and give a function that logs in a user with a role."""
    if AIRFLOW < (3, 1, 1):
        pytest.skip("Airflow 3.1.0 does not get the page: see test_an_older_airflow_does_not_get_the_page.")
    with logins() as token_of:
        yield token_of


@pytest.fixture
def airflow(auth: Callable[[str], str], account: BatchAccount) -> Iterator[Airflow]:
    """Serve the page for the default connection."""
    with served_page(auth) as served:
        yield served
