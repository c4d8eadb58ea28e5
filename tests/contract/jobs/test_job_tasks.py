"""Job preparation, release and manager tasks, as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.contract.requests import create_job

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]


def test_a_job_prepares_a_node_once_before_its_tasks_and_releases_it_at_its_end(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    mark = "$AZ_BATCH_NODE_SHARED_DIR/prepared"
    create_job(
        client,
        make_pool(),
        job_preparation_task=models.BatchJobPreparationTask(command_line=f"/bin/sh -c 'mkdir {mark}'"),
        job_release_task=models.BatchJobReleaseTask(command_line=f"/bin/sh -c 'rmdir {mark}'"),
    )
    for name in ("a", "b"):
        _add(client, name, f"/bin/sh -c 'test -d {mark}'")
        task = eventually(lambda: client.get_task("work", name), lambda t: t.state == "completed")  # noqa: B023
        assert task.execution_info.exit_code == 0

    client.begin_terminate_job("work", {"terminateReason": "enough"}, polling_interval=0).result()

    (status,) = client.list_job_preparation_and_release_task_status("work")
    prepared, released = status.job_preparation_task_execution_info, status.job_release_task_execution_info
    assert (prepared.state, prepared.exit_code, prepared.result) == ("completed", 0, "success")
    assert (released.state, released.exit_code, released.result) == ("completed", 0, "success")
    assert prepared.task_root_directory == "workitems/work/job-1/jobpreparation"


def test_tasks_do_not_run_where_the_preparation_of_their_job_failed(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    task = models.BatchJobPreparationTask(
        command_line="/bin/false", constraints=models.BatchTaskConstraints(max_task_retry_count=1)
    )
    create_job(client, make_pool(), job_preparation_task=task)
    _add(client, "one", "true")

    def failed() -> list[Any]:
        places = client.list_job_preparation_and_release_task_status("work")
        return [p for p in places if p.job_preparation_task_execution_info.result == "failure"]

    (status,) = eventually(failed, bool)

    assert status.job_preparation_task_execution_info.retry_count == 1
    eventually(lambda: client.get_task("work", "one").state, lambda state: state == "active")
    eventually(lambda: client.get_node("linux", status.node_id).state, lambda state: state == "idle")


def test_tasks_run_after_a_failed_preparation_that_they_need_not_wait_for(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    task = models.BatchJobPreparationTask(command_line="/bin/false", wait_for_success=False)
    create_job(client, make_pool(), job_preparation_task=task)
    _add(client, "one", "true")

    eventually(lambda: client.get_task("work", "one").state, lambda state: state == "completed")


def test_a_job_without_such_tasks_has_no_status_of_them(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0))

    with pytest.raises(HttpResponseError) as refusal:
        list(client.list_job_preparation_and_release_task_status("work"))

    assert refusal.value.status_code == 409
    assert refusal.value.error.code == "JobPreparationTaskOrReleaseTaskNotSpecified"


def test_a_release_task_without_a_preparation_task_is_refused(client: BatchClient, make_pool: Any) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        create_job(
            client, make_pool(dedicated=0), job_release_task=models.BatchJobReleaseTask(command_line="true")
        )

    assert refusal.value.status_code == 400


def test_a_job_ends_with_its_manager_task(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line="true")
    create_job(client, make_pool(), job_manager_task=manager)

    job = eventually(lambda: client.get_job("work"), lambda found: found.state == "completed")

    assert job.execution_info.termination_reason == "JMComplete"
    assert job.job_manager_task.kill_job_on_completion
    assert client.get_task("work", "manager").execution_info.exit_code == 0


def test_every_task_of_a_job_has_the_directory_of_the_preparation_task_in_its_environment(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    left = "/bin/sh -c 'test -z $AZ_BATCH_JOB_PREP_DIR && echo ready > mark'"
    found = "/bin/sh -c 'cat $AZ_BATCH_JOB_PREP_WORKING_DIR/mark $AZ_BATCH_JOB_PREP_DIR/wd/mark'"
    create_job(
        client,
        make_pool(),
        job_preparation_task=models.BatchJobPreparationTask(command_line=left),
        job_release_task=models.BatchJobReleaseTask(command_line=found),
    )

    _add(client, "one", found)

    task = eventually(lambda: client.get_task("work", "one"), lambda t: t.state == "completed")
    assert task.execution_info.exit_code == 0
    client.begin_terminate_job("work", {"terminateReason": "enough"}, polling_interval=0).result()
    (status,) = client.list_job_preparation_and_release_task_status("work")
    assert status.job_release_task_execution_info.exit_code == 0


@pytest.mark.parametrize(
    ("is_rerun", "runs"), [pytest.param(True, 2, id="yes"), pytest.param(False, 1, id="no")]
)
def test_a_node_that_was_rebooted_is_prepared_again_if_the_job_says_so(
    client: BatchClient,
    make_pool: Any,
    eventually: Eventually,
    batch_emulator: RunningEmulator,
    is_rerun: bool,
    runs: int,
) -> None:
    count = "/bin/sh -c 'echo run >> $AZ_BATCH_NODE_SHARED_DIR/runs'"
    preparation = models.BatchJobPreparationTask(
        command_line=count, rerun_on_node_reboot_after_success=is_rerun
    )
    create_job(client, make_pool(), job_preparation_task=preparation)
    _add(client, "before", "true")
    task = eventually(lambda: client.get_task("work", "before"), lambda t: t.state == "completed")
    batch_emulator.control.set_node("linux", task.node_info.node_id, "rebooting")

    _add(client, "after", "/bin/sh -c 'exit $(wc -l < $AZ_BATCH_NODE_SHARED_DIR/runs)'")

    task = eventually(lambda: client.get_task("work", "after"), lambda t: t.state == "completed")
    assert task.execution_info.exit_code == runs


@pytest.mark.parametrize(
    ("task_id", "code"),
    [
        pytest.param("JobPreparation", "TaskIdSameAsJobPreparationTask", id="preparation task"),
        pytest.param("jobrelease", "TaskIdSameAsJobReleaseTask", id="release task"),
    ],
)
def test_a_task_does_not_have_the_id_of_the(
    client: BatchClient, make_pool: Any, task_id: str, code: str
) -> None:
    create_job(
        client,
        make_pool(dedicated=0),
        job_preparation_task=models.BatchJobPreparationTask(command_line="true"),
        job_release_task=models.BatchJobReleaseTask(command_line="true"),
    )

    with pytest.raises(HttpResponseError) as refusal:
        _add(client, task_id, "true")

    assert (refusal.value.status_code, refusal.value.error.code) == (409, code)


def _add(client: BatchClient, task_id: str, command: str) -> None:
    client.create_task("work", models.BatchTaskCreateOptions(id=task_id, command_line=command))
