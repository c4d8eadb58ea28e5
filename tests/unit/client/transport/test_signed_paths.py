"""Paths of files and jobs under a shared key: they are sent as they were signed, whatever is in them."""

from __future__ import annotations

import asyncio
import shlex
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.batch import models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.api.files import task_file
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.unit.client.sessions import run
from tests.unit.commands import operator

UNQUOTED = "!$&'()*,:;=@"
"""What aiohttp unquotes in a path that it is given as text."""

NAMES = st.text(
    st.one_of(
        st.sampled_from(UNQUOTED + string.punctuation.replace("/", "") + " "),
        st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/"),
    ),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 250)


class Files:
    """The working directory of a command that has ended, read through one open client."""

    def __init__(self, account: BatchAccount) -> None:
        account.idle_pool(1)
        done = run_task(operator("pwd > where", result_file=None, delete_job="never"))
        self._job_id = done.result["job_id"]
        self._loop = asyncio.new_event_loop()
        self._opened = open_client(account.hook.settings())
        self._client: BatchLinuxClient = self._loop.run_until_complete(self._opened.__aenter__())
        self._directory = Path(self.read("where").decode().strip())

    def write(self, name: str, content: bytes) -> None:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def read(self, name: str) -> bytes:
        reading = task_file(self._client, self._job_id, "main", f"wd/{name}").tail(1_000)
        return self._loop.run_until_complete(reading).content

    def close(self) -> None:
        self._loop.run_until_complete(self._opened.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture
def files(account: BatchAccount) -> Iterator[Files]:
    """Give a working directory to put files into and to read them from."""
    files = Files(account)
    yield files
    files.close()


@given(st.lists(NAMES, min_size=1, max_size=3))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_of_any_name_is_read(files: Files, parts: list[str]) -> None:
    # Directories of their own keep a name from being both a file and a directory.
    path = "/".join([*(f"d{part}" for part in parts[:-1]), f"f{parts[-1]}"])
    files.write(path, path.encode())

    assert files.read(path) == path.encode()


@pytest.mark.parametrize("character", UNQUOTED)
def test_each_character_that_aiohttp_unquotes_is_kept(files: Files, character: str) -> None:
    files.write(f"dt{character}1/a{character}", b"here")

    assert files.read(f"dt{character}1/a{character}") == b"here"


@pytest.mark.usefixtures("account")
def test_a_result_in_a_partition_of_hive_is_read(account: BatchAccount) -> None:
    account.idle_pool(1)
    name = "dt=2026-01-01/part 'a' (1).json"

    done = run_task(
        operator(f"mkdir dt=2026-01-01; echo 7 > {shlex.quote(name)}", result_file=name, poll_interval=0.02)
    )

    assert done.result["result"] == 7


def test_the_job_of_a_schedule_is_found_and_deleted(account: BatchAccount) -> None:
    async def schedule(client: BatchLinuxClient) -> None:
        specification = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl"))
        await client.sdk.create_job_schedule(
            models.BatchJobScheduleCreateOptions(
                id="nightly", schedule=models.BatchJobScheduleConfiguration(), job_specification=specification
            )
        )

    account.make_pool()
    at = account.hook.settings()
    run(at, schedule)

    found = run(at, lambda client: client.find_job("nightly:job-1"))
    assert found is not None
    assert run(at, lambda client: client.delete_job("nightly:job-1"))
    eventually(lambda: "nightly:job-1" not in account.jobs())
