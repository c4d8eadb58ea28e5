"""Pools that jobs and job schedules only describe, as the SDK sees them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import ResourceNotFoundError

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.contract.conftest import IMAGE
from tests.contract.requests import refusal_of

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]

_ONCE = models.BatchJobScheduleConfiguration()
_DAILY = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))


def test_a_job_makes_the_pool_it_describes_and_takes_it_with_it(
    client: BatchClient, eventually: Eventually
) -> None:
    _create_job(client, _auto_pool(target_dedicated_nodes=1))
    client.create_task("work", models.BatchTaskCreateOptions(id="one", command_line="true"))
    pool_id = client.get_job("work").execution_info.pool_id

    task = eventually(lambda: client.get_task("work", "one"), lambda t: t.state == "completed")
    assert task.node_info.pool_id == pool_id
    assert re.fullmatch(r"etl_[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", pool_id)
    assert client.get_pool(pool_id).vm_size == "standard_d2s_v5"
    _terminate(client)

    eventually(lambda: _exists(client, pool_id), lambda exists: not exists)
    assert client.get_job("work").state == "completed"


def test_a_job_shows_the_pool_it_describes_with_the_defaults_of_the_service(client: BatchClient) -> None:
    _create_job(client, _auto_pool())

    info = client.get_job("work").pool_info

    assert info.pool_id is None
    auto = info.auto_pool_specification
    assert (auto.auto_pool_id_prefix, auto.pool_lifetime_option, auto.keep_alive) == ("etl", "job", False)
    assert (auto.pool.task_slots_per_node, auto.pool.resize_timeout) == (1, timedelta(minutes=15))
    assert (auto.pool.target_dedicated_nodes, auto.pool.enable_auto_scale) == (0, False)


def test_a_pool_that_is_to_stay_outlives_its_job(client: BatchClient) -> None:
    _create_job(client, _auto_pool(keep_alive=True))
    pool_id = client.get_job("work").execution_info.pool_id

    _terminate(client)
    assert client.get_pool(pool_id).state == "active"
    client.begin_delete_job("work", polling_interval=0).result()
    assert client.get_pool(pool_id).state == "active"


def test_deleting_a_job_deletes_its_pool(client: BatchClient, eventually: Eventually) -> None:
    _create_job(client, _auto_pool())
    pool_id = client.get_job("work").execution_info.pool_id

    client.begin_delete_job("work", polling_interval=0).result()

    eventually(lambda: _exists(client, pool_id), lambda exists: not exists)


def test_whether_a_pool_stays_can_be_changed_and_nothing_else_of_it(client: BatchClient) -> None:
    _create_job(client, _auto_pool())
    pool_id = client.get_job("work").execution_info.pool_id

    client.update_job("work", models.BatchJobUpdateOptions(pool_info=_auto_pool(keep_alive=True)))

    assert client.get_job("work").pool_info.auto_pool_specification.keep_alive
    other = models.BatchJobUpdateOptions(pool_info=_auto_pool(target_dedicated_nodes=3))
    assert refusal_of(lambda: client.update_job("work", other)) == (400, "InvalidPropertyValue")
    _terminate(client)
    assert _exists(client, pool_id)


def test_all_jobs_of_a_schedule_share_its_pool_until_it_ends(
    client: BatchClient, eventually: Eventually
) -> None:
    _create_schedule(client, _auto_pool("jobschedule"), _DAILY)
    pool_id = client.get_job("nightly:job-1").execution_info.pool_id
    _terminate(client, "nightly:job-1")
    assert client.get_pool(pool_id).state == "active"

    client.begin_terminate_job_schedule("nightly", polling_interval=0).result()

    eventually(lambda: _exists(client, pool_id), lambda exists: not exists)


def test_each_job_of_a_schedule_may_have_a_separate_pool(client: BatchClient, eventually: Eventually) -> None:
    _create_schedule(client, _auto_pool(), _ONCE)
    pool_id = client.get_job("nightly:job-1").execution_info.pool_id

    _terminate(client, "nightly:job-1")

    eventually(lambda: _exists(client, pool_id), lambda exists: not exists)
    eventually(lambda: client.get_job_schedule("nightly").state, lambda state: state == "completed")


def test_a_job_whose_pool_cannot_be_made_is_completed_and_says_why(
    client: BatchClient, batch_emulator: RunningEmulator
) -> None:
    batch_emulator.control.set_quota(pools=0)

    _create_job(client, _auto_pool())

    job = client.get_job("work")
    error = job.execution_info.scheduling_error
    assert (job.state, job.execution_info.pool_id) == ("completed", None)
    assert (error.category, error.code) == ("usererror", "AutoPoolCreationFailedWithQuotaReached")
    task = models.BatchTaskCreateOptions(id="one", command_line="true")
    assert refusal_of(lambda: client.create_task("work", task)) == (409, "JobCompleted")


def test_a_job_reports_an_invalid_formula_of_its_auto_pool(client: BatchClient) -> None:
    _create_job(client, _auto_pool(enable_auto_scale=True, auto_scale_formula="$Target = ("))

    error = client.get_job("work").execution_info.scheduling_error

    assert error.code == "InvalidAutoScaleFormulaInAutoPool"


@pytest.mark.parametrize(
    "pool_info",
    [
        pytest.param(models.BatchPoolInfo(), id="neither a pool nor a description of one"),
        pytest.param(
            models.BatchPoolInfo(
                auto_pool_specification=models.BatchAutoPoolSpecification(pool_lifetime_option="job")
            ),
            id="no pool in the description",
        ),
    ],
)
def test_a_job_without_a_pool_is_refused(client: BatchClient, pool_info: models.BatchPoolInfo) -> None:
    assert refusal_of(lambda: _create_job(client, pool_info)) == (400, "MissingRequiredProperty")


def test_a_wrong_description_of_a_pool_is_refused(client: BatchClient) -> None:
    invalid = (400, "InvalidPropertyValue")
    both = _auto_pool()
    both.pool_id = "linux"

    assert refusal_of(lambda: _create_job(client, both)) == invalid
    assert refusal_of(lambda: _create_job(client, _auto_pool(vm_size="large"))) == invalid
    assert refusal_of(lambda: _create_job(client, _auto_pool("jobschedule"))) == invalid
    assert refusal_of(lambda: _create_job(client, _auto_pool(prefix="p" * 21))) == invalid


def _auto_pool(
    lifetime: str = "job", *, prefix: str = "etl", keep_alive: bool | None = None, **pool: Any
) -> models.BatchPoolInfo:
    specification = {"vm_size": "standard_d2s_v5", "virtual_machine_configuration": IMAGE, **pool}
    auto = models.BatchAutoPoolSpecification(
        pool_lifetime_option=lifetime,
        auto_pool_id_prefix=prefix,
        keep_alive=keep_alive,
        pool=models.BatchPoolSpecification(**specification),
    )
    return models.BatchPoolInfo(auto_pool_specification=auto)


def _create_job(client: BatchClient, pool_info: models.BatchPoolInfo) -> None:
    client.create_job(models.BatchJobCreateOptions(id="work", pool_info=pool_info))


def _create_schedule(client: BatchClient, pool_info: models.BatchPoolInfo, times: Any) -> None:
    job = models.BatchJobSpecification(pool_info=pool_info)
    client.create_job_schedule(
        models.BatchJobScheduleCreateOptions(id="nightly", schedule=times, job_specification=job)
    )


def _terminate(client: BatchClient, job_id: str = "work") -> None:
    client.begin_terminate_job(job_id, {"terminateReason": "enough"}, polling_interval=0).result()


def _exists(client: BatchClient, pool_id: str) -> bool:
    try:
        client.get_pool(pool_id)
    except ResourceNotFoundError:
        return False
    return True
