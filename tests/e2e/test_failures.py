"""Runs that fail for a reason that a person must read in the log, and that leave nothing behind."""

from __future__ import annotations

import pytest

from tests.e2e.account import Account
from tests.e2e.conftest import WORKBENCH, Secrets
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone


@pytest.fixture(scope="module")
def failing_start_task(api: AirflowApi) -> Run:
    """Run the Dag whose start task fails, to its end."""
    run = api.trigger("failing_start_task")
    run.wait()
    return run


@pytest.fixture(scope="module")
def wrong_key(api: AirflowApi) -> Run:
    """Run the Dag whose connection has a wrong key, to its end."""
    run = api.trigger("wrong_key")
    run.wait()
    return run


@pytest.fixture(scope="module")
def secret_users(api: AirflowApi) -> Run:
    """Run the Dag that is given a password and, by mistake, a private key, to its end."""
    run = api.trigger("secret_users", pool_id=WORKBENCH)
    run.wait()
    return run


def test_a_failed_start_task_fails_the_sensor_at_once(failing_start_task: Run):
    states = failing_start_task.states()

    assert states == {
        "create_pool": ["success"],
        "nodes_idle": ["failed"],
        "work": ["upstream_failed"],
        "delete_pool": ["success"],
    }


def test_the_log_of_the_sensor_shows_the_end_of_the_start_tasks_output(failing_start_task: Run):
    log = " ".join(failing_start_task.log("nodes_idle").split())

    assert "start task failed with exit code 7" in log
    assert "mounting disk 3" in log
    assert "disk 3 is not there" in log


def test_the_pool_of_a_failed_start_task_is_taken_away(failing_start_task: Run, account: Account):
    assert failing_start_task.result("create_pool")["pool_id"] not in account.pools()


def test_a_wrong_key_fails_the_task_with_a_clear_sentence(wrong_key: Run):
    log = wrong_key.log("create_pool")

    assert wrong_key.states()["create_pool"] == ["failed"]
    assert "Check the account name and key" in log


def test_a_wrong_key_leaves_nothing_behind(wrong_key: Run, account: Account):
    assert not [pool for pool in account.pools() if "wrong_key" in pool]


def test_a_private_key_given_for_a_public_one_is_refused(secret_users: Run):
    log = secret_users.log("with_private_key")

    assert secret_users.states() == {"with_password": ["success"], "with_private_key": ["failed"]}
    assert "private key" in log


@pytest.mark.usefixtures("examples", "failing_start_task", "wrong_key", "secret_users")
def test_no_secret_is_in_any_file_of_airflow(airflow: Standalone, account: Account, hidden: Secrets):
    key_lines = hidden.private_key.splitlines()[1:-1]
    wanted = [account.service.key, hidden.wrong_key, hidden.password, *key_lines]

    leaks = {
        path.name
        for path in airflow.home.rglob("*")
        if path.is_file()
        for secret in wanted
        if secret.encode() in path.read_bytes()
    }

    assert leaks == set()
