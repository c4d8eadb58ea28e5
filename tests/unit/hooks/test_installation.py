"""The id of this Airflow: where it comes from, and what it tells apart on an account that two share."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_batchlinux.core import installation
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from tests.airflow_harness import ExecutionApi, TaskRun, run_task
from tests.batch_account import BatchAccount

OPTION = "AIRFLOW__BATCH_LINUX__INSTALLATION_ID"
VARIABLE = "batch_linux_installation_id"


@pytest.fixture(autouse=True)
def no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the id to the Variable, whose claim is settled when it is seen."""
    monkeypatch.delenv(OPTION)
    monkeypatch.setattr(installation, "SETTLING_TIME", 0.0)


def create(api: ExecutionApi, **options: Any) -> TaskRun:
    operator = BatchLinuxCreatePoolOperator(
        task_id="create", image="ubuntu 24.04", vm_size="standard_d2s_v5", **options
    )
    return run_task(operator, api=api)


def sweep(api: ExecutionApi, **options: Any) -> TaskRun:
    return run_task(BatchLinuxSweepPoolsOperator(task_id="sweep", delete=True, **options), api=api)


def owner_of(account: BatchAccount, pool_id: str) -> str | None:
    body = account.hook.run(lambda client: client.find_pool_body(pool_id, ["id", "metadata"]))
    assert body is not None
    return PoolMarks.of(body).owner.get("installation")


def test_the_first_task_makes_the_id_and_later_ones_use_it(account: BatchAccount) -> None:
    airflow = ExecutionApi()

    first = create(airflow, pool_id="first")
    made = dict(airflow.variables or {})
    create(airflow, pool_id="second")

    assert airflow.variables == made
    assert f"The id of this Airflow on Batch accounts is {made[VARIABLE]!r}" in first.log
    assert owner_of(account, "first") == owner_of(account, "second") == made[VARIABLE]


def test_the_option_has_precedence(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPTION, "production")
    airflow = ExecutionApi(variables=None)

    assert create(airflow, pool_id="ours").state == "success"
    assert owner_of(account, "ours") == "production"


class Denying(ExecutionApi):
    """An API server that lets no task read or write Variables."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if "/variables/" in request.url.path:
            return httpx.Response(403, json={"detail": {"reason": "access_denied", "message": "no"}})
        return super().answer(request)


def test_a_task_that_may_not_read_variables_fails_with_the_remedy(account: BatchAccount) -> None:
    run = create(Denying())

    assert run.state in ("failed", "up_for_retry")
    assert "Set the configuration option [batch_linux] installation_id" in run.message
    assert account.pools() == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        pytest.param(None, "Airflow did not answer whether the Variable", id="no answer"),
        pytest.param({VARIABLE: "not one"}, f"Variable {VARIABLE}='not one' is not the id", id="malformed"),
    ],
)
def test_without_an_id_nothing_is_made_or_deleted_and_the_remedy_is_told(
    account: BatchAccount, variables: dict[str, str] | None, told: str
) -> None:
    airflow = ExecutionApi(variables=variables)

    for run in (create(airflow), sweep(airflow)):
        assert run.state in ("failed", "up_for_retry")
        assert told in run.message
        assert variables is not None or "Set the configuration option [batch_linux]" in run.message
    assert airflow.variables == variables
    assert all(request.startswith("GET ") for request in account.requests())


def test_two_airflows_with_the_same_dag_and_prefix_have_their_own_pools(account: BatchAccount) -> None:
    ours, theirs = ExecutionApi(), ExecutionApi()
    our_pool, their_pool = create(ours).result["pool_id"], create(theirs).result["pool_id"]
    assert our_pool != their_pool
    [theirs_id] = (theirs.variables or {}).values()

    run = sweep(ours)

    assert [pool["pool_id"] for pool in run.result["pools"]] == [our_pool]
    assert account.pools() == [their_pool]
    assert f"Installation {theirs_id!r} has 1 pool, not considered." in run.log

    told = sweep(ours, installations=[theirs_id])

    assert told.result["deleted"] == 1
    assert account.pools() == []
