"""``batchlinux jobs`` and ``batchlinux tasks``: what runs on the nodes, its output and its end."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_verb, on_account
from airflow_provider_batchlinux.cli.terminal.following import add_following, files_of, print_files
from airflow_provider_batchlinux.cli.terminal.output import (
    NothingDoneError,
    add_json,
    add_yes,
    age,
    batch_id,
    print_item,
    print_list,
    require_consent,
    say,
)
from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.tasks.summary import (
    JOB_SUMMARY_FIELDS,
    TASK_SUMMARY_FIELDS,
    job_summary,
    task_summary,
)
from airflow_provider_batchlinux.core.tasks.task import TASK_ID, TaskOutcome

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient

_JOB_HEADER = ("JOB", "STATE", "POOL", "DAG", "TASK", "AGE", "ENDED")
_TASK_HEADER = ("TASK", "STATE", "OUTCOME", "EXIT CODE", "NODE", "AGE", "SECONDS", "RETRIES", "FAILURE")
_STATES = ("active", "disabled", "disabling", "enabling", "terminating", "completed", "deleting")


def add_commands(commands: Any) -> None:
    """Add both commands to the parser's commands."""
    jobs = commands.add_parser("jobs", help="list, show and end jobs").add_subparsers(
        metavar="VERB", required=True
    )
    listed = add_verb(jobs, "list", _list_jobs, "list the jobs of the account", add_json)
    listed.add_argument("--pool", metavar="POOL", type=batch_id, help="only jobs of this pool")
    listed.add_argument(
        "--state", choices=_STATES, metavar="STATE", help=f"only jobs in this state: {', '.join(_STATES)}"
    )
    show = add_verb(jobs, "show", _show_job, "show a job, and the states of its tasks", add_json)
    end = add_verb(jobs, "terminate", _end_job, "end a job with its running tasks; its files stay", add_yes)
    for parser in (show, end):
        parser.add_argument("job", metavar="JOB", type=batch_id, help="the job's id")

    tasks = commands.add_parser("tasks", help="list, show, follow and end tasks").add_subparsers(
        metavar="VERB", required=True
    )
    add_verb(tasks, "list", _list_tasks, "list the tasks of a job", add_json).add_argument(
        "job", metavar="JOB", type=batch_id, help="the job's id"
    )
    shown = add_verb(tasks, "show", _show_task, "show a task: state, result, node, times", add_json)
    output = add_verb(tasks, "output", _output, "print the output of a task, also while it runs")
    output.add_argument(
        "--file", metavar="PATH", help="this file of the task instead, such as wd/totals.json"
    )
    add_following(output)
    ended = add_verb(tasks, "terminate", _end_task, "end a task; its files stay", add_yes)
    again = add_verb(
        tasks, "reactivate", _rerun_task, "run a failed task again, while its job is active", add_yes
    )
    for parser in (shown, output, ended, again):
        parser.add_argument("job", metavar="JOB", type=batch_id, help="the job's id")
        parser.add_argument(
            "task",
            metavar="TASK",
            type=batch_id,
            nargs="?",
            default=TASK_ID,
            help=f"the task's id (default: {TASK_ID})",
        )


def _list_jobs(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> list[dict[str, Any]]:
        bodies = await client.find_jobs(state=options.state, select=JOB_SUMMARY_FIELDS)
        jobs = [job_summary(body) for body in bodies]
        if options.pool is None:
            return jobs
        found = [job for job in jobs if job["pool_id"].lower() == options.pool.lower()]
        if not found and await client.find_pool_body(options.pool, ["id"]) is None:
            msg = f"Pool {options.pool!r} does not exist, and no job names it."
            raise ValueError(msg)
        return found

    jobs = on_account(options, work)
    return print_list(
        options,
        jobs,
        _JOB_HEADER,
        lambda job: (
            job["job_id"],
            job["state"],
            job["pool_id"],
            job["owner"].get("dag_id"),
            job["owner"].get("task_id"),
            age(parse_instant(job["created_at"])),
            job["end_reason"],
        ),
    )


def _show_job(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> dict[str, Any]:
        body = await client.find_job(options.job, JOB_SUMMARY_FIELDS)
        if body is None:
            msg = f"Job {options.job!r} does not exist."
            raise ValueError(msg)
        states: dict[str, int] = {}
        for task in await client.read_tasks(options.job, task_summary, select=TASK_SUMMARY_FIELDS):
            name = task["outcome"] or task["state"]
            states[name] = states.get(name, 0) + 1
        return {**job_summary(body), "tasks": states}

    job = on_account(options, work)
    owner = ", ".join(f"{name} {value!r}" for name, value in job["owner"].items())
    facts = {
        **{name: value for name, value in _spaced(job).items() if name not in ("owner", "tasks")},
        "created by": owner or "not by this provider",
        "tasks": ", ".join(f"{number} {state}" for state, number in job["tasks"].items()),
    }
    return print_item(options, job, facts)


def _end_job(options: Namespace) -> int:
    require_consent(options, f"End job {options.job!r} with its running tasks?")
    if not on_account(options, lambda client: client.end_job(options.job)):
        msg = f"Nothing was done: job {options.job!r} does not exist, or has ended."
        raise NothingDoneError(msg)
    say(f"Job {options.job!r} is being ended.")
    return 0


def _list_tasks(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> list[dict[str, Any]]:
        tasks = await client.read_tasks(options.job, task_summary, select=TASK_SUMMARY_FIELDS)
        # A job that does not exist has no tasks, too.
        if not tasks and await client.find_job(options.job) is None:
            msg = f"Job {options.job!r} does not exist."
            raise ValueError(msg)
        return tasks

    return print_list(
        options,
        on_account(options, work),
        _TASK_HEADER,
        lambda task: (
            task["task_id"],
            task["state"],
            task["outcome"],
            task["exit_code"],
            task["node_id"],
            age(parse_instant(task["created_at"])),
            task["seconds"],
            task["retries"],
            task["failure"],
        ),
    )


def _show_task(options: Namespace) -> int:
    task = on_account(options, lambda client: _task(client, options))
    return print_item(options, task, _spaced(task))


def _output(options: Namespace) -> int:
    """Print the output; the status is 1 if a task that is followed has failed."""
    found: dict[str, Any] = {}

    async def work(client: BatchLinuxClient) -> int:
        from airflow_provider_batchlinux.client.api.files import task_file

        files = files_of(options, "", partial(task_file, client, options.job, options.task))

        async def is_over() -> bool:
            found.update(await _task(client, options))
            return bool(found["state"] == "completed")

        await is_over()
        if found["started_at"] is None and not options.follow:
            msg = f"Task {options.task!r} of job {options.job!r} has not started. --follow waits for it."
            raise ValueError(msg)
        return await print_files(options, files, is_over)

    if not on_account(options, work):
        say("The task has written nothing." if options.file is None else "The file is empty.")
    if not options.follow or found["outcome"] == TaskOutcome.SUCCEEDED.value:
        return 0
    say(f"Task {options.task!r} of job {options.job!r} has failed with exit code {found['exit_code']}.")
    return 1


def _end_task(options: Namespace) -> int:
    require_consent(options, f"End task {options.task!r} of job {options.job!r}?")
    if not on_account(options, lambda client: client.terminate_task(options.job, options.task)):
        msg = f"Nothing was done: task {options.task!r} of job {options.job!r} does not exist, or has ended."
        raise NothingDoneError(msg)
    say(f"Task {options.task!r} of job {options.job!r} is ended.")
    return 0


def _rerun_task(options: Namespace) -> int:
    require_consent(options, f"Run task {options.task!r} of job {options.job!r} again?")
    if not on_account(options, lambda client: client.reactivate_task(options.job, options.task)):
        msg = f"Nothing was done: task {options.task!r} of job {options.job!r} has not ended."
        raise NothingDoneError(msg)
    say(f"Task {options.task!r} of job {options.job!r} runs again.")
    return 0


async def _task(client: BatchLinuxClient, options: Namespace) -> dict[str, Any]:
    body = await client.find_task_body(options.job, options.task, TASK_SUMMARY_FIELDS)
    if body is None:
        msg = f"Job {options.job!r} has no task {options.task!r}, or does not exist."
        raise ValueError(msg)
    return task_summary(body)


def _spaced(facts: Mapping[str, object]) -> dict[str, object]:
    return {name.replace("_", " "): value for name, value in facts.items()}
