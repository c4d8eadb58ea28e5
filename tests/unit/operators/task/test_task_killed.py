"""The operator that runs a command, when its worker is lost at any request: a retry runs no command twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport.http import ServiceTransport
from tests.airflow_harness import ExecutionApi, TaskRun, run_task
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import operator

RETRIED = {"max_tries": 2}


class Killed(BaseException):
    """What ends a worker without any clean-up."""


class Kill:
    """Ends the worker at one of its requests."""

    def __init__(self, number: int, *, is_answered: bool) -> None:
        self._number = number
        self._is_answered = is_answered
        self.seen: list[str] = []

    def arm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = ServiceTransport.send

        async def send_or_die(transport: ServiceTransport, request: Any, **options: Any) -> Any:
            self.seen.append(f"{request.method} {request.url.partition('?')[0]}")
            if len(self.seen) == self._number and not self._is_answered:
                raise Killed
            answer = await send(transport, request, **options)
            if len(self.seen) == self._number:
                # The system closes the connections of a worker that dies. This one is never read.
                answer.internal_response.close()
                raise Killed
            return answer

        monkeypatch.setattr(ServiceTransport, "send", send_or_die)

    @property
    def has_struck(self) -> bool:
        return len(self.seen) >= self._number


def run(command: str, task_id: str, try_number: int) -> TaskRun:
    work = operator(command, task_id=task_id, result_file="r.json", retries=RETRIED["max_tries"])
    return run_task(work, try_number=try_number, api=ExecutionApi(resume=RETRIED))


@pytest.mark.parametrize("is_answered", [pytest.param(False, id="before"), pytest.param(True, id="after")])
def test_a_worker_that_is_lost_at_any_request_runs_no_command_twice(
    account: BatchAccount, tmp_path: Path, is_answered: bool
) -> None:
    account.idle_pool(1)
    is_stored = 0
    for number in range(1, 100):
        runs = tmp_path / str(number)
        command = f"echo run >> {runs}; echo 7 > r.json"
        kill = Kill(number, is_answered=is_answered)
        with pytest.MonkeyPatch.context() as patch:
            kill.arm(patch)
            try:
                run(command, f"work-{number}", 1)
            except Killed:
                # After Airflow has stored the success, so that no retry follows; the sweeper deletes the job.
                is_stored += 1
                assert runs.read_text() == "run\n", kill.seen
                continue
        if not kill.has_struck:
            break
        second = run(command, f"work-{number}", 2)

        assert second.result["result"] == 7, kill.seen
        assert runs.read_text() == "run\n", kill.seen
    assert number > 10
    eventually(lambda: len(account.jobs()) == (0 if is_answered else is_stored))
