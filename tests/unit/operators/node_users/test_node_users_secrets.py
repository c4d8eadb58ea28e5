"""The operator that adds users keeps what is secret out of all that Airflow stores and shows."""

from __future__ import annotations

from typing import Any

import asyncssh
import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from tests.airflow_harness import run_task
from tests.unit.operators.node_users.test_node_users import PASSWORD, add


@pytest.fixture
def private_key(key: asyncssh.SSHKey) -> str:
    """Return the private half of a key."""
    return key.export_private_key().decode()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({}, id="success"),
        pytest.param({"status": 400, "code": "InvalidPropertyValue"}, id="refusal"),
        pytest.param({"status": 403, "code": "Forbidden"}, id="forbidden"),
        pytest.param({"drop": "before", "times": None}, id="no answer"),
    ],
)
def test_neither_password_nor_account_key_is_stored_or_shown(account, fault: dict[str, Any]):
    account.idle_pool(1, ssh=True)
    if fault:
        account.control.inject("POST", "/users$", **fault)

    run = run_task(add(password=PASSWORD))

    assert run.rendered["password"] == "***"
    assert PASSWORD not in run.everything_said
    assert account.service.key not in run.everything_said


def test_a_password_from_a_template_is_not_stored_or_shown(account):
    account.idle_pool(1, ssh=True)

    run = run_task(add(password="{{ 'correct horse' }} battery staple"))

    assert run.state == "success"
    assert PASSWORD not in run.everything_said


def test_a_password_in_a_wrong_request_is_not_repeated_with_the_problems(account):
    run = run_task(add(password=PASSWORD, username="a b", expires_in=-1))

    assert len(run.shown.splitlines()) >= 2
    assert PASSWORD not in run.everything_said


def mapped_add(**options: Any) -> Any:
    with DAG("mapped", schedule=None):
        task = BatchLinuxAddNodeUsersOperator.partial(task_id="add", username="etl", expires_in=60, **options)
        return task.expand(pool_id=["etl"])


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_private_key_is_refused_and_not_stored(private_key, is_mapped):
    options = {"ssh_public_key": "{{ params.key }}", "params": {"key": private_key}}
    task = mapped_add(**options) if is_mapped else add(**options)

    run = run_task(task, map_index=0 if is_mapped else -1)

    assert run.state == "failed"
    assert "ssh_public_key holds a private key." in run.message
    assert run.rendered["ssh_public_key"] == "***"
    assert private_key.splitlines()[1] not in run.everything_said


def test_a_private_key_in_the_dag_file_is_refused_when_it_is_parsed(private_key):
    with pytest.raises(ValueError, match="holds a private key") as failure:
        add(ssh_public_key=private_key)

    assert private_key.splitlines()[1] not in str(failure.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({}, "Neither ssh_public_key nor password is given", id="nothing to log in with"),
        pytest.param({"ssh_public_key": "not a key"}, "is not one line such as", id="no key"),
        pytest.param({"password": PASSWORD, "username": "root"}, "belongs to the system", id="root"),
        pytest.param({"password": PASSWORD, "pool_id": "a b"}, "pool_id='a b'", id="illegal pool id"),
    ],
)
def test_a_user_that_could_not_be_is_refused_before_any_request(account, options, problem):
    run = run_task(add(**options))

    assert problem in run.message
    assert account.requests() == []
