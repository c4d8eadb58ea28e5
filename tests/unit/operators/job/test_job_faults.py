"""The operator that runs many commands, when something is wrong: with them, the service, the nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.job_wait import JobWait
from airflow_provider_batchlinux.emulator import airflow_connection
from airflow_provider_batchlinux.exceptions import BatchRequestError, TaskFailedError, TaskFailedForGoodError
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.chaos import Fault, Request, chaos_proxy
from tests.unit.commands import Loop, Runs, finish_job, job_of, job_operator, state_of


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "tasks is missing: give the commands as tasks, or a command and its items."),
        ({"tasks": ["true"], "items": [1]}, "tasks and items both say what to run; give one of them."),
        ({"items": [1]}, "command is missing: with items, it is run for each of them."),
        ({"tasks": []}, "There is no command to run: tasks or items are empty. allow_empty=True lets that"),
        ({"tasks": [{"comand": "true"}]}, "tasks[0].comand is no field of it; did you mean 'command'?"),
        ({"tasks": [{"command": "true", "required_slots": "many"}]}, "tasks[0].required_slots='many' is not"),
        ({"tasks": [TaskSpec("true", id="a"), TaskSpec("true", id="a")]}, "have the same id 'a'"),
        ({"tasks": [TaskSpec("true", depends_on=["x"])]}, "names 'x', but no command has this id."),
        (
            {"tasks": ["true"], "on_task_failure": "end", "max_failed": "5%"},
            "max_failed allows failures, but",
        ),
        (
            {"tasks": ["true"], "release": TaskSpec("true", outputs={"a": "abfs://logs/a"})},
            "release.outputs has",
        ),
        *(
            (
                {
                    "tasks": ["true"],
                    "release": {"command": "true", "secret_storage": "abfs://secrets/", **secret},
                },
                f"release.{next(iter(secret))} cannot be had: secrets are deleted from storage when",
            )
            for secret in ({"secret_environment": {"KEY": "x"}}, {"secret_files": {"key": "x"}})
        ),
        (
            {"tasks": ["true", TaskSpec("true", environment={f"V{n}": "x" * 100_000 for n in range(9)})]},
            "tasks[1]: it has 900022 bytes of command and environment",
        ),
        ({"tasks": "/no/such/file"}, "tasks names the file '/no/such/file', which cannot be read"),
        (
            {"tasks": [TaskSpec("true", files={"a": "/no/such"})]},
            "files names '/no/such', which is",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_made(
    account: BatchAccount, options: Any, complaint: str
) -> None:
    done = run_task(job_operator(**options))

    assert isinstance(done.error, ValueError)
    assert complaint in done.message
    assert [request for request in account.requests() if not request.startswith("GET")] == []


def test_an_empty_list_may_be_allowed(account: BatchAccount) -> None:
    done = run_task(job_operator(tasks=[], allow_empty=True))

    assert done.state == "success"
    assert (done.result["job_id"], done.result["tasks"], done.result["records"]) == (None, 0, [])


@pytest.mark.parametrize("lines", [True, False], ids=["JSON lines", "JSON"])
def test_tasks_are_read_from_a_file(account: BatchAccount, tmp_path: Path, lines: bool) -> None:
    account.idle_pool(1)
    given = ["true", {"command": "exit 4", "exit_codes": {"4": "skip"}}]
    path = tmp_path / "tasks.json"
    path.write_text("\n".join(map(json.dumps, given)) if lines else json.dumps(given))

    done = run_task(job_operator(tasks=str(path)))

    assert done.state == "success", done.error
    assert (done.result["succeeded"], done.result["skipped"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "items"),
    [
        ('["a", 1, ["b"]]', ["a", 1, ["b"]]),
        ('\ufeff["a"]', ["a"]),
        ('[\n  "a",\n  {"b": 1}\n]\n', ["a", {"b": 1}]),
        ('\ufeff"a"\r\n\r\n"b"\r\n', ["a", "b"]),
        ('["a", 1]\n["b", 2]\n', [["a", 1], ["b", 2]]),
        ('"a\u2028b"\n"c\u0085d\u2029e"', ["a\u2028b", "c\u0085d\u2029e"]),
        ('"é"\n"日"', ["é", "日"]),
        ('{"a": 1}', [{"a": 1}]),
    ],
)
def test_a_file_is_json_or_json_lines_as_other_programs_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, items: list[Any]
) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    path = tmp_path / "items.json"
    path.write_bytes(content.encode())

    found = job_operator(items=str(path), environment={"X": "{item}"}, command="true").lineage_tasks()

    texts = [item if isinstance(item, str) else json.dumps(item) for item in items]
    assert [task.environment["X"] for task in found.values()] == texts


@pytest.mark.parametrize("content", ["nothing", '["a"', "{'a': 1}", '"a" "b"'])
def test_a_file_that_is_neither_json_nor_json_lines_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(content)

    with pytest.raises(ValueError, match=r"items\.json', which is neither a JSON list nor JSON lines: "):
        job_operator(items=str(path), command="true").lineage_tasks()


CODES = {3: "success", 4: "skip", 5: "fail"}


@pytest.mark.parametrize(
    ("commands", "options", "ending"),
    [
        pytest.param(["exit 4", "exit 4"], {}, "skipped", id="all skipped"),
        pytest.param(["exit 5", "true"], {}, TaskFailedForGoodError, id="fail"),
        pytest.param(["exit 3", "exit 4", "true", "exit 1"], {"max_failed": 1}, "success", id="max_failed"),
        pytest.param(
            ["exit 3", "exit 4", "exit 1", "exit 1"], {"max_failed": "25%"}, TaskFailedError, id="%"
        ),
    ],
)
def test_the_exit_codes_decide_how_the_task_ends(
    account: BatchAccount, commands: list[str], options: Any, ending: object
) -> None:
    account.idle_pool(1)

    done = run_task(job_operator(tasks=commands, exit_codes=CODES, **options))

    assert ending in (done.state, type(done.error))


def test_an_exit_code_that_is_a_success_lets_others_run_and_a_failure_may_end_the_job(
    account: BatchAccount, loop: Loop
) -> None:
    account.idle_pool(2)
    after = TaskSpec("true", id="after", depends_on=["first"])
    well = run_task(job_operator(tasks=[TaskSpec("exit 3", id="first"), after], exit_codes=CODES))
    ended = run_task(
        job_operator(task_id="ends", tasks=[loop.command, TaskSpec("exit 1", id="x")], on_task_failure="end")
    )

    assert well.state == "success", well.error
    assert isinstance(ended.error, TaskFailedError)
    assert "'x' in job " in ended.message
    eventually(lambda: not loop.runs())


def test_commands_that_the_service_refuses_are_named_and_the_job_is_ended(account: BatchAccount) -> None:
    account.idle_pool(1)

    done = run_task(job_operator(tasks=[TaskSpec("true"), TaskSpec("true", required_slots=300)]))

    assert isinstance(done.error, BatchRequestError)
    [job_id] = account.jobs()
    assert f"The service has refused 1 of 2 commands; job {job_id!r} was ended." in done.message
    assert "- '00001': The value provided for one of the properties" in done.message
    eventually(lambda: state_of(account, job_id) == "completed")


def test_a_collection_that_the_service_finds_too_large_is_split(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("POST", "/addtaskcollection", times=2, status=413, code="RequestBodyTooLarge")

    done = run_task(job_operator(tasks=["true"] * 5))

    assert (done.state, done.result["succeeded"]) == ("success", 5)
    assert sum("addtaskcollection" in request for request in account.requests()) == 5


def test_a_command_that_is_too_large_alone_is_named_and_leaves_no_job(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("POST", "/addtaskcollection", times=3, status=413, code="RequestBodyTooLarge")

    done = run_task(job_operator(tasks=["true"] * 2))

    assert isinstance(done.error, BatchRequestError)
    assert "The service has refused 2 of 2 commands" in done.message
    assert "- '00000': " in done.message
    assert "(RequestBodyTooLarge, HTTP 413" in done.message
    eventually(lambda: account.jobs() == [])


def test_a_collection_that_is_half_taken_when_the_connection_drops_runs_each_command_once(
    account: BatchAccount,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account.idle_pool(1)
    service, lost = account.service, list[Request]()

    def drop_first(request: Request) -> Fault | None:
        if "addtaskcollection" in request.path and len(lost) < 2:
            lost.append(request)
            return Fault("reset", None, "after", "reset")
        return None

    with chaos_proxy(service.endpoint, drop_first) as proxy:
        connection = airflow_connection(proxy.url, service.account, service.key, None)
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", connection)
        done = run_task(job_operator(command=runs.of("{item}"), items=list(range(105))))

    assert done.state == "success", done.error
    assert len(lost) == 2
    assert len(runs.seen()) == len(set(runs.seen())) == 105


def test_commands_go_on_when_half_of_the_nodes_are_preempted(account: BatchAccount, tmp_path: Path) -> None:
    account.idle_pool(4)
    loops = [Loop(tmp_path, f"loop-{number}") for number in range(4)]
    first = run_task(job_operator(tasks=[loop.command for loop in loops], deferrable=True))
    for loop in loops:
        loop.wait_until_started()
    for node in account.nodes()[:2]:
        account.control.set_node("etl", node.node_id, "preempted")
    for loop in loops:
        loop.go.touch()

    done = finish_job(first, tasks=[loop.command for loop in loops])

    assert done.state == "success", done.error
    assert sorted(len(loop.pids()) for loop in loops) == [1, 1, 2, 2]


def test_a_preparation_that_fails_on_every_node_fails_in_words(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(2)
    preparation = f"{loop.command}; echo no disk >&2; exit 9"
    first = run_task(job_operator(tasks=["true", "true"], preparation=preparation, deferrable=True))
    loop.go.touch()
    now = [1000.0]

    async def poll_until_it_fails(client: BatchLinuxClient) -> None:
        wait = JobWait(client, "etl", job_of(first), 2, prepares=True, clock=lambda: now[0])
        while True:
            await wait.poll()
            now[0] += 20

    with pytest.raises(TaskFailedError) as raised:
        account.hook.run(poll_until_it_fails)

    assert "cannot run. The preparation task has failed on 'tvm" in str(raised.value)
    assert "exit code 9. The end of its stderr:\n    no disk" in str(raised.value)
