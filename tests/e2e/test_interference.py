"""A command whose Airflow task is killed, cleared, or loses a process of Airflow."""

from __future__ import annotations

import os
import re
import signal
from itertools import pairwise

from tests.e2e.account import Account
from tests.e2e.conftest import Command, StartCommand
from tests.e2e.polling import pass_time, until
from tests.e2e.standalone import Standalone

KILL_LIMIT = 60.0
"""Seconds. The triggerer's first question for a task's state makes it build an API of its own: 5 s, or many
more where the processor is busy."""

OUTAGE = 20.0


def _wait_for_deferral(command: Command) -> None:
    """Wait until the triggerer has the trigger: Airflow asks one that it never started for no tidying up."""
    command.run.wait_for("work", "deferred")
    started = f"trigger {command.run.dag_id}/"
    until(lambda: started in command.run.log("work"), "the trigger to start", limit=60)
    until(lambda: command.said("began"), "the command to begin", limit=30)


def _assert_ran_once(command: Command) -> None:
    [job] = command.said("began")

    assert command.said("finished") == [job]
    assert command.run.result("work")["job_id"] == job


def _seconds_in_log(command: Command) -> list[int]:
    return [int(second) for second in re.findall(r"^\s*second (\d+)$", command.run.log("work"), re.MULTILINE)]


def test_the_output_of_a_deferred_command_is_in_the_log_while_it_runs_and_each_line_once(
    start_command: StartCommand,
):
    command = start_command("deferred_command", seconds=60)
    _wait_for_deferral(command)

    until(lambda: len(_seconds_in_log(command)) >= 3, "the output to follow", limit=50)
    assert command.said("finished") == []

    assert command.run.wait() == "success"
    assert _seconds_in_log(command) == list(range(1, 61))


def test_marking_a_deferred_task_failed_ends_its_command(start_command: StartCommand, account: Account):
    command = start_command("deferred_command", seconds=300)
    _wait_for_deferral(command)
    [job] = command.said("began")

    command.run.mark_failed("work")

    until(lambda: job not in account.jobs(), "the job to be gone", limit=KILL_LIMIT)
    until(lambda: not command.is_running(), "the command to be ended", limit=5)
    assert command.said("finished") == []
    assert command.run.wait() == "failed"


def test_the_row_of_a_waiting_trigger_holds_names_and_numbers_only(
    airflow: Standalone, start_command: StartCommand, account: Account
):
    command = start_command("deferred_command", seconds=15)
    _wait_for_deferral(command)

    [row] = [row for row in airflow.trigger_rows() if command.said("began")[0] in row]

    assert "azure_batch_linux_default" in row
    assert account.service.key not in row
    assert account.service.endpoint not in row
    assert command.run.wait() == "success"


def test_clearing_a_deferred_task_never_runs_two_commands_at_once(start_command: StartCommand):
    command = start_command("deferred_command", seconds=25)
    _wait_for_deferral(command)

    command.run.clear("work")

    assert command.run.wait() == "success"
    assert command.run.task("work")["try_number"] == 2
    assert command.said("finished") == command.said("began")[-1:]
    assert command.said("met") == []
    assert command.run.result("work")["job_id"] == command.said("finished")[0]


def test_a_killed_triggerer_neither_ends_nor_repeats_a_command(
    airflow: Standalone, start_command: StartCommand
):
    command = start_command("deferred_command", seconds=45)
    _wait_for_deferral(command)
    until(lambda: "second 3" in command.run.log("work"), "the output to follow", limit=30)

    airflow.kill_triggerer()
    airflow.start("triggerer")

    assert command.run.wait() == "success"
    _assert_ran_once(command)
    assert command.run.task("work")["try_number"] == 1
    seconds = _seconds_in_log(command)
    assert sorted(set(seconds)) == list(range(1, 46))
    assert "a new triggerer continues the output of job" in command.run.log("work")
    # At most the last part before the kill is repeated.
    assert seconds[0] == 1
    assert len([second for before, second in pairwise(seconds) if second <= before]) <= 1


def test_a_retry_after_a_killed_worker_goes_on_with_the_same_command(start_command: StartCommand):
    command = start_command("blocking_command", seconds=25)
    until(lambda: command.said("began"), "the command to begin", limit=60)

    os.kill(command.run.task("work")["pid"], signal.SIGKILL)

    assert command.run.wait() == "success"
    _assert_ran_once(command)
    assert command.run.task("work")["try_number"] == 2
    assert "still runs the same command; going on with it" in command.run.log("work", try_number=2)


def test_a_trigger_that_is_lost_on_the_last_try_leaves_no_command(
    airflow: Standalone, start_command: StartCommand, account: Account
):
    command = start_command("last_try_of_a_command", seconds=300)
    _wait_for_deferral(command)
    [job] = command.said("began")

    airflow.kill_triggerer()
    airflow.spoil_triggers()
    airflow.start("triggerer")

    assert command.run.wait() == "failed"
    assert "Airflow ended the wait of task 'work'" in command.run.log("work")
    until(lambda: not command.is_running(), "the command to be ended", limit=5)
    assert job not in account.jobs()
    # Airflow (3.3.2) takes the id of a trigger that it could not create for one that is being cancelled, as
    # long as the triggerer runs. SQLite gives that id to the next trigger, which then never starts.
    airflow.kill_triggerer()
    airflow.start("triggerer")


def test_waits_outlast_a_service_that_does_not_answer(start_command: StartCommand, account: Account):
    deferred = start_command("deferred_command", seconds=15)
    _wait_for_deferral(deferred)

    with account.silent():
        pass_time(OUTAGE)

    assert deferred.run.wait() == "success"
    _assert_ran_once(deferred)
    assert deferred.run.task("work")["try_number"] == 1


def test_a_deferred_command_ends_when_its_execution_timeout_is_over(
    start_command: StartCommand, account: Account
):
    command = start_command("overdue_command", seconds=300)

    assert command.run.wait() == "failed"

    [job] = command.said("began")
    assert " s. Last status: Task 'main' of job" in " ".join(command.run.log("work").split())
    until(lambda: not command.is_running(), "the command to be ended", limit=5)
    assert command.said("finished") == []
    assert job not in account.jobs()
