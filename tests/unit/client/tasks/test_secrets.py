"""The blobs with the secrets of a job with many commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from airflow_provider_batchlinux.client.storage.access import StorageAccess, StorageSettings
from airflow_provider_batchlinux.client.tasks.many import ManySubmission
from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_mark
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import StorageLocation, parse_location
from airflow_provider_batchlinux.core.tasks.job import Tries
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec


async def _no_settings(conn_id: str) -> StorageSettings:
    raise ValueError(conn_id)


@dataclass(frozen=True)
class StorageInMemory(StorageAccess):
    blobs: dict[str, bytes] = field(default_factory=dict)

    async def urls(self, grants: Iterable[Grant], lifetime: timedelta) -> dict[Grant, str]:
        return {grant: str(lifetime) for grant in grants}

    async def put(self, location: StorageLocation, _conn_id: str, content: bytes) -> str:
        self.blobs[str(location)] = content
        return str(location)

    async def delete(self, location: StorageLocation, _conn_id: str) -> None:
        del self.blobs[str(location)]


def secret_of(number: int) -> str:
    # Some commands share theirs.
    return f"secret {number // 3 * 3 if number % 5 else number}"


def test_hundreds_of_secrets_are_each_put_named_in_few_words_and_deleted() -> None:
    storage = StorageInMemory(_no_settings)
    commands = {
        f"{number:05}": Command(
            TaskSpec(
                "true",
                secret_environment={"TOKEN": secret_of(number)},
                secret_storage=f"abfs://private-{number % 2}/a",
            )
        )
        for number in range(900)
    }
    submission = ManySubmission(JobSpec("etl", commands), Tries("job-t", 1), "token-7", {}, storage)

    async def sent() -> None:
        await submission.put_secrets()
        for number, task_id in enumerate(commands):
            assert secret_of(number).encode() in storage.blobs[str(submission.blobs[task_id].location)]
        # A request with 100 tasks needs the URLs of their secrets only.
        assert list(await submission.urls([], ["00007", "none"])) == [submission.blobs["00007"]]
        assert len(await submission.urls([])) == len(storage.blobs) > 400
        mark = secrets_mark(submission.blobs.values())
        assert len(mark) < 300
        assert await delete_secrets(mark, storage)

    asyncio.run(sent())

    assert storage.blobs == {}


@pytest.mark.parametrize(
    "names",
    [
        ["a"],
        ["a", "a-1", "a-2"],
        ["a-1", "a-2"],
        ["a", "a-2", "a-1"],
        ["a-1", "a", "a-1-1", "a-2", "b-1", "a-01"],
        ["a", "a-1-1", "a-", "-1"],
    ],
)
def test_what_a_job_says_of_its_secrets_names_each_and_no_other(names: list[str]) -> None:
    blobs = [Grant(parse_location(f"abfs://private/{name}"), "read", "storage") for name in names]
    storage = StorageInMemory(_no_settings, blobs={str(blob.location): b"" for blob in blobs})

    assert asyncio.run(delete_secrets(secrets_mark(blobs), storage))
    assert storage.blobs == {}
