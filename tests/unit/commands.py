"""Commands for a task operator to run, begun and finished as a test needs it; knows no cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.tasks.records import TaskCounts
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.airflow_harness import TaskRun, captured_log, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually


def operator(command: str, **options: Any) -> BatchLinuxTaskOperator:
    defaults = {"task_id": "work", "pool_id": "etl", "poll_interval": 0.02}
    return BatchLinuxTaskOperator(command=command, **{**defaults, **options})


class Loop:
    """A command that runs until it is let go, and leaves a line for every time it was started."""

    def __init__(self, folder: Path, name: str = "loop") -> None:
        self.go = folder / f"{name}.go"
        self.starts = folder / f"{name}.starts"
        self.command = f"echo $$ >> {self.starts}; until [ -e {self.go} ]; do sleep 0.02; done; echo let go"

    def pids(self) -> list[int]:
        return [int(line) for line in self.starts.read_text().split()] if self.starts.exists() else []

    def wait_until_started(self, times: int = 1) -> None:
        eventually(lambda: len(self.pids()) == times)

    def runs(self) -> bool:
        return any(Path(f"/proc/{pid}").exists() for pid in self.pids())


def defer(command: str, *, try_number: int = 1, **options: object) -> TaskRun:
    run = run_task(operator(command, deferrable=True, **options), try_number=try_number)
    assert run.state == "deferred", run.error
    return run


def finish(run: TaskRun, **options: object) -> TaskRun:
    assert run.deferral is not None
    with captured_log() as shown:  # what the triggerer has shown, the worker does not repeat
        event = run_trigger(run.deferral)
    ended = resume_task(operator("unused", deferrable=True, **options), run, event)
    return replace(ended, log="\n".join([*shown, ended.log]))


def job_of(run: TaskRun) -> str:
    assert run.deferral is not None
    return str(run.deferral.trigger_kwargs["job_id"])


def job_operator(**options: Any) -> BatchLinuxJobOperator:
    defaults = {"task_id": "work", "pool_id": "etl", "poll_interval": 0.02}
    return BatchLinuxJobOperator(**{**defaults, **options})


class Runs:
    """Commands that leave a line for each run."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "runs"
        self.fixed = folder / "fixed"

    def of(self, name: str, command: str = "true") -> str:
        return f"echo {name} >> {self._file}; {command}"

    def seen(self) -> list[str]:
        return sorted(self._file.read_text().split()) if self._file.exists() else []

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)


def state_of(account: BatchAccount, job_id: str) -> str:
    async def get(client: BatchLinuxClient) -> str:
        return str(((await client.find_job(job_id)) or {}).get("state"))

    return account.hook.run(get)


def finish_job(run: TaskRun, *, try_number: int = 1, **options: Any) -> TaskRun:
    assert run.deferral is not None
    event = run_trigger(run.deferral)
    return resume_task(job_operator(deferrable=True, **options), run, event, try_number=try_number)


def counts_of(account: BatchAccount, job_id: str) -> TaskCounts:
    counts = account.hook.run(lambda client: client.task_counts(job_id))
    assert counts is not None
    return counts
