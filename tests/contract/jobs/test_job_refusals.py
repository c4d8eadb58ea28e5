"""Values of jobs and tasks that the service refuses, as the SDK sees them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

_RETRIES = models.BatchJobConstraints(max_task_retry_count=-2)
_LIMITS = models.BatchTaskConstraints(max_task_retry_count=-2)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        pytest.param({"priority": 1001}, "priority", "1001", id="priority too high"),
        pytest.param({"priority": -1001}, "priority", "-1001", id="priority too low"),
        pytest.param({"max_parallel_tasks": 0}, "maxParallelTasks", "0", id="no parallel tasks"),
        pytest.param({"max_parallel_tasks": -2}, "maxParallelTasks", "-2", id="fewer than no limit"),
        pytest.param({"constraints": _RETRIES}, "maxTaskRetryCount", "-2", id="retries"),
        pytest.param(
            {"job_manager_task": models.BatchJobManagerTask(id="a/b", command_line="true")},
            "id",
            "a/b",
            id="id of the manager task",
        ),
        pytest.param(
            {
                "job_manager_task": models.BatchJobManagerTask(id="Same", command_line="true"),
                "job_preparation_task": models.BatchJobPreparationTask(id="same", command_line="true"),
            },
            "id",
            "same",
            id="two tasks of the job with one id",
        ),
        pytest.param(
            {"job_manager_task": models.BatchJobManagerTask(id="m", command_line="true", required_slots=0)},
            "requiredSlots",
            "0",
            id="slots of the manager task",
        ),
    ],
)
def test_a_job_is_refused_for_its(
    client: BatchClient, options: dict[str, Any], name: str, value: str
) -> None:
    found = _refusal(lambda: _create_job(client, **options))

    assert found["code"] == "InvalidPropertyValue"
    assert (found["PropertyName"], found["PropertyValue"]) == (name, value)


@pytest.mark.parametrize("priority", [-1000, 1000])
def test_a_job_has_a_priority_up_to_the_limits(client: BatchClient, priority: int) -> None:
    _create_job(client, priority=priority)

    assert client.get_job("work").priority == priority


def test_a_job_that_ends_with_its_tasks_cannot_be_changed_not_to(client: BatchClient) -> None:
    manager = models.BatchJobManagerTask(id="manager", command_line="true")
    _create_job(client, all_tasks_complete_mode="terminatejob", job_manager_task=manager)
    change = models.BatchJobUpdateOptions(all_tasks_complete_mode="noaction")

    found = _refusal(lambda: client.update_job("work", change))

    assert (found["code"], found["PropertyName"]) == ("InvalidPropertyValue", "onAllTasksComplete")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param({"required_slots": 0}, "requiredSlots", id="no slot"),
        pytest.param({"required_slots": 257}, "requiredSlots", id="more slots than any node has"),
        pytest.param({"constraints": _LIMITS}, "maxTaskRetryCount", id="retries"),
    ],
)
def test_a_task_is_refused_for(client: BatchClient, options: dict[str, Any], name: str) -> None:
    _create_job(client)
    task = models.BatchTaskCreateOptions(id="task", command_line="true", **options)

    found = _refusal(lambda: client.create_task("work", task))

    assert (found["code"], found["PropertyName"]) == ("InvalidPropertyValue", name)


def test_a_collection_says_for_each_task_whether_it_was_added(client: BatchClient) -> None:
    _create_job(client)
    bodies = [
        models.BatchTaskCreateOptions(id="good", command_line="true"),
        models.BatchTaskCreateOptions(id="bad", command_line="true", required_slots=0),
        models.BatchTaskCreateOptions(id="GOOD", command_line="true"),
    ]

    results = client.create_task_collection("work", models.BatchTaskGroup(task_values=bodies)).result_values

    found = [(result.task_id, str(result.status).lower(), result.error) for result in results or ()]
    assert [(task_id, status) for task_id, status, _ in found] == [
        ("good", "success"),
        ("bad", "clienterror"),
        ("GOOD", "clienterror"),
    ]
    assert [error and error.code for *_, error in found] == [None, "InvalidPropertyValue", "TaskExists"]


@pytest.mark.parametrize("size", [101, 100])
def test_a_collection_has_at_most_a_hundred_tasks(client: BatchClient, size: int) -> None:
    _create_job(client)
    bodies = [models.BatchTaskCreateOptions(id=str(number), command_line="true") for number in range(size)]
    group = models.BatchTaskGroup(task_values=bodies)

    if size > 100:
        assert (
            _refusal(lambda: client.create_task_collection("work", group))["code"] == "InvalidPropertyValue"
        )
    else:
        assert len(client.create_task_collection("work", group).result_values or ()) == size


def test_a_collection_of_more_than_a_megabyte_is_too_large(client: BatchClient) -> None:
    _create_job(client)
    command = f"/bin/echo {'x' * 20_000}"
    bodies = [models.BatchTaskCreateOptions(id=str(number), command_line=command) for number in range(60)]

    found = _refusal(lambda: client.create_task_collection("work", models.BatchTaskGroup(task_values=bodies)))

    assert (found["status"], found["code"]) == (413, "RequestBodyTooLarge")
    assert list(client.list_tasks("work")) == []


def _create_job(client: BatchClient, **options: Any) -> None:
    pool = models.BatchPoolInfo(pool_id="linux")
    client.create_job(models.BatchJobCreateOptions(id="work", pool_info=pool, **options))


def _refusal(call: Any) -> dict[str, Any]:
    with pytest.raises(HttpResponseError) as refusal:
        call()
    values = {item.key: item.value for item in refusal.value.model.error_values or ()}
    return {"status": refusal.value.status_code, "code": refusal.value.error.code, **values}
