"""The output of a command: it follows in the log while the command runs, each line once and in order."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time.xcom import XCom

from airflow_provider_batchlinux.exceptions import TaskFailedError
from tests.airflow_harness import TaskRun, make_trigger, resume_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import defer, operator
from tests.unit.triggers.test_task import trigger_of

either_way = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)


class Follow(logging.Handler):
    """
    Reads the log as it is written, and lets a command go on when a text is in it.

    :param steps: what to do at the first line with each text.
    """

    def __init__(self, steps: dict[str, Callable[[], object]]) -> None:
        super().__init__()
        self.steps = steps
        self.text = ""
        # A step may ask the embedded service, which logs in its own thread what it is asked.
        self.addFilter(lambda record: not record.name.startswith("airflow_provider_batchlinux.emulator"))

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"
        for text in [text for text in self.steps if text in self.text]:
            self.steps.pop(text)()

    def lines(self, *wanted: str) -> list[str]:
        """Give the lines of output among these, in their order, as often as they were logged."""
        return [line.strip() for line in self.text.splitlines() if line.strip() in wanted]


@contextmanager
def followed(**steps: Callable[[], object]) -> Iterator[Follow]:
    handler = Follow({text.replace("_", " "): step for text, step in steps.items()})
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with an idle node."""
    return account.idle_pool(1)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "gate"


def opens(gate: Path) -> str:
    """Return a command that waits until the file exists."""
    return f"until [ -e {gate} ]; do sleep 0.02; done"


@either_way
@pytest.mark.usefixtures("pool")
def test_each_line_is_logged_once_and_in_order_while_the_command_runs(gate: Path, deferrable: bool) -> None:
    command = f"echo one; echo an error >&2; echo two; {opens(gate)}; printf three"

    # The command ends only after its output is in the log.
    with followed(two=gate.touch) as log:
        run = run_to_end(operator(command, deferrable=deferrable))

    assert run.state == "success"
    assert log.lines("one", "two", "three") == ["one", "two", "three"]
    assert log.lines("an error") == ["an error"]
    assert gate.exists()


@either_way
@pytest.mark.usefixtures("pool")
def test_the_error_shows_the_end_of_stderr_although_it_was_logged_before(
    gate: Path, deferrable: bool
) -> None:
    with followed(no_such_table=gate.touch) as log:
        run = run_to_end(operator(f"echo no such table >&2; {opens(gate)}; exit 3", deferrable=deferrable))

    assert "The end of its stderr:\n    no such table" in run.shown
    assert "stderr of job" in log.text
    assert log.text.count("    no such table") <= 2


@either_way
def test_a_command_that_is_requeued_begins_its_output_again(
    account: BatchAccount, gate: Path, deferrable: bool
) -> None:
    account.idle_pool(2)
    command = f"echo begun; {opens(gate)}; echo done"

    def preempt() -> None:
        [busy] = [node.node_id for node in account.nodes() if node.state == "running"]
        account.control.set_node("etl", busy, "preempted")

    with followed(begun=preempt, its_output_begins_again=gate.touch) as log:
        run = run_to_end(operator(command, deferrable=deferrable))

    assert run.state == "success"
    assert log.lines("begun", "done") == ["begun", "begun", "done"]
    assert "runs its command again (1 requeues, 0 retries); its output begins again" in log.text


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keep the XComs of a trigger in memory; the triggerer answers them from Airflow's database."""
    stored: dict[str, Any] = {}

    def set_xcom(key: str, value: Any, **_whose: Any) -> None:
        stored[key] = value

    monkeypatch.setattr(XCom, "set", set_xcom)
    monkeypatch.setattr(XCom, "get_one", lambda key, **_whose: stored.get(key))
    return stored


def run_until(text: str, deferred: TaskRun) -> Follow:
    """Run the trigger of a task until a text is in its log, as a triggerer that is then stopped."""

    async def scenario(seen: asyncio.Event) -> None:
        async def run() -> None:
            async for _ in trigger_of(deferred).run():
                pass

        running = asyncio.ensure_future(run())
        await seen.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    seen = asyncio.Event()
    with followed(**{text.replace(" ", "_"): seen.set}) as log:
        asyncio.run(asyncio.wait_for(scenario(seen), 20))
    return log


@pytest.mark.usefixtures("pool")
class TestRestartedTriggerer:
    def rest(self, deferred: TaskRun) -> Follow:
        """Run a new trigger to its end, and then the rest of the task."""

        async def events() -> list[Any]:
            return [event.payload async for event in trigger_of(deferred).run()]

        with followed() as log:
            [payload] = asyncio.run(events())
            done = resume_task(operator("unused", deferrable=True), deferred, payload)
        assert done.state == "success"
        return log

    def test_no_line_is_logged_twice(self, xcoms: dict[str, Any], gate: Path) -> None:
        deferred = defer(f"echo one; echo two; {opens(gate)}; echo three")

        before = run_until("two", deferred)
        assert xcoms["batch_linux_output"]["stdout"] == len("one\ntwo\n")
        gate.touch()
        after = self.rest(deferred)

        assert before.lines("one", "two", "three") == ["one", "two"]
        assert after.lines("one", "two", "three") == ["three"]

    def test_after_a_hard_kill_the_last_part_is_repeated_and_marked(
        self, xcoms: dict[str, Any], gate: Path, tmp_path: Path
    ) -> None:
        second = tmp_path / "second"
        deferred = defer(f"echo one; {opens(gate)}; echo two; {opens(second)}; echo three")
        run_until("one", deferred)
        stored = dict(xcoms)
        gate.touch()
        run_until("two", deferred)
        xcoms.update(stored)

        # It logs what it has read before the command ends.
        with followed(three=lambda: None) as log:
            run_until_two = run_until("two", deferred)
            second.touch()
            self.rest(deferred)

        assert "a new triggerer continues the output of job" in run_until_two.text
        assert log.lines("one", "two", "three") == ["two", "three"]

    def test_a_triggerer_that_stores_nothing_says_so_and_goes_on(self, gate: Path) -> None:
        def refuse(**_: Any) -> None:
            msg = "not today"
            raise RuntimeError(msg)

        deferred = defer(f"echo one; {opens(gate)}; echo two")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(XCom, "set", refuse)
            patch.setattr(XCom, "get_one", refuse)
            before = run_until("one", deferred)
        gate.touch()

        assert "After a restart of the triggerer, output may be shown again: not today" in before.text
        assert self.rest(deferred).lines("one", "two") == ["one", "two"]


@pytest.mark.usefixtures("pool")
def test_the_last_output_is_in_the_log_before_a_killed_command_loses_its_job(
    account: BatchAccount, tmp_path: Path
) -> None:
    deferred = defer(f"echo one; printf 'last words'; touch {tmp_path}/said; exec sleep 600")
    eventually((tmp_path / "said").exists)

    with followed() as log:
        trigger = make_trigger(deferred.deferral)  # type: ignore[arg-type]
        asyncio.run(trigger.on_kill())

    assert log.lines("one", "last words") == ["one", "last words"]
    eventually(lambda: account.jobs() == [])


@either_way
@pytest.mark.usefixtures("pool")
class TestStrangeOutput:
    def test_what_is_no_text_is_replaced(self, deferrable: bool) -> None:
        run = run_to_end(operator(r"printf 'a\0b\xff\xc3\nend\n'", deferrable=deferrable))

        assert "    a\ufffdb\ufffd\ufffd\n    end" in run.log

    def test_ten_gigabytes_take_no_memory(self, gate: Path, deferrable: bool) -> None:
        command = f"echo first; truncate -s 10G ../stdout.txt; echo the end >> ../stdout.txt; {opens(gate)}"
        tracemalloc.start()
        try:
            with followed(first=gate.touch) as log:
                run = run_to_end(operator(command, deferrable=deferrable, output_limit=100_000))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert run.state == "success"
        assert log.lines("first") == ["first"]
        assert "the end" in run.log
        assert "bytes left out]" in run.log
        assert peak < 30e6

    def test_the_error_shows_the_end_of_stdout_if_stderr_is_empty(self, deferrable: bool) -> None:
        run = run_to_end(operator("echo before; kill -9 $$", deferrable=deferrable))

        assert isinstance(run.error, TaskFailedError)
        assert "The end of its stdout:\n    before" in run.shown


def test_a_payload_of_a_trigger_carries_how_much_was_shown(account: BatchAccount, gate: Path) -> None:
    account.idle_pool(1)
    deferred = defer(f"echo one; {opens(gate)}")

    with followed(one=gate.touch):
        assert deferred.deferral is not None
        payload = run_trigger(deferred.deferral)

    assert payload["arguments"]["shown"] == {"version": 2, "run": [0, 0], "stdout": 4}
