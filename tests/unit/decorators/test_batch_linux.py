"""Python functions on nodes: arguments and results, output and exceptions, and what cannot be sent."""

from __future__ import annotations

import datetime
import functools
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from airflow.sdk import DAG, task

from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_cmd_task, batch_linux_task
from tests.airflow_harness import AIRFLOW, ExecutionApi, run_task, run_to_end
from tests.unit.commands import job_of

LIMIT = 3
OFFLINE = {"PIP_NO_INDEX": "1", "UV_NO_INDEX": "1", "UV_OFFLINE": "1"}
FAST: dict[str, Any] = {"pool_id": "etl", "poll_interval": 0.05}


def operator_of(decorated: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the operator of a decorated function that is called with some arguments."""
    with DAG("functions", schedule=None):
        return decorated(*args, **kwargs).operator


def run(function: Any, *args: Any, with_: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    return run_task(operator_of(batch_linux_task(**FAST, **(with_ or {}))(function), *args, **kwargs))


@pytest.fixture(autouse=True)
def _pool(account):
    account.idle_pool(1)


def test_arguments_go_to_the_node_and_the_result_comes_back():
    def add(day: str, *, rows: list[int], run_id: Any = None) -> dict[str, Any]:
        import os
        import sys

        print("to the log")
        print("to the log of errors", file=sys.stderr)
        return {"day": day, "sum": sum(rows), "pool": os.environ["AZ_BATCH_POOL_ID"], "run_id": run_id}

    found = run(add, "mon", rows=[1, 2])

    assert found.state == "success", found.error
    assert found.result.pop("run_id")
    assert found.result == {"day": "mon", "sum": 3, "pool": "etl"}
    assert "to the log\n" in found.log
    assert "to the log of errors" in found.log


def test_a_deferred_function_returns_the_same():
    def double(number: int) -> int:
        return number * 2

    run = run_to_end(operator_of(batch_linux_task(**FAST, deferrable=True)(double), 21))

    assert (run.state, run.result) == ("success", 42)


def test_airflows_own_attribute_finds_the_decorators():
    with DAG("by_attribute", schedule=None):

        @task.batch_linux(**FAST)  # type: ignore[untyped-decorator]
        def one() -> int:
            return 1

        @task.batch_linux_cmd(**FAST)  # type: ignore[untyped-decorator]
        def two() -> str:
            return "true"

        operators = [one().operator, two().operator]

    assert [run_task(operator).state for operator in operators] == ["success", "success"]


def test_a_mapped_function_gets_its_own_argument_and_templates_are_rendered():
    def day_of(day: str, name: str) -> str:
        return f"{day} of {name}"

    with DAG("mapped", schedule=None):
        decorated: Any = batch_linux_task(**FAST)(day_of)
        operator = decorated.partial(name="{{ task.task_id }}").expand(day=["mon", "tue"]).operator

    assert [run_task(operator, map_index=at).result for at in (0, 1)] == ["mon of day_of", "tue of day_of"]


def test_a_coroutine_function_is_run_to_its_end():
    async def later() -> str:
        import asyncio

        await asyncio.sleep(0)
        return "done"

    assert run(later).result == "done"


def test_a_function_may_change_its_directory_define_dataclasses_and_take_the_context_by_name():
    def place(first: int, *rest: int, other: Any = None, run_id: Any = None) -> list[Any]:
        import os
        from dataclasses import dataclass

        @dataclass
        class Point:
            x: int

        os.chdir("/")
        return [Point(first).x, rest, other, bool(run_id)]

    assert run(place, 1, 2, 3, 4, 5).result == [1, [2, 3, 4, 5], None, True]


def test_results_of_mapped_tasks_are_sent_as_lists_also_inside_arguments():
    def one(at: int) -> int:
        return at

    def rows(found: Any, inside: Any) -> Any:
        return [found, inside]

    with DAG("reduced", schedule=None):
        mapped: Any = batch_linux_task(**FAST)(one)
        reduced: Any = batch_linux_task(**FAST)(rows)
        results = mapped.expand(at=[5])
        operator = reduced(results, {"rows": results}).operator
    found = run_task(operator, api=ExecutionApi(xcoms={"return_value": 5}))

    assert found.result == [[5], {"rows": [5]}], found.error


def raises() -> None:
    number = {"a": 1}
    print(number["b"])


def exits() -> None:
    import sys

    sys.exit(7)


def exits_with_success() -> None:
    import sys

    sys.exit()


def exits_with_256() -> None:
    import sys

    sys.exit(256)


def is_not_importable() -> None:
    import no_such_package  # type: ignore[import-not-found]

    print(no_such_package)


def returns_no_json() -> Any:
    return {1, 2}


def returns_not_a_number() -> float:
    return float("nan")


def returns_keys_that_become_one() -> Any:
    return {"rows": ({1: "a", "1": "b"},)}


def writes_what_executes_on_the_worker() -> None:
    import atexit
    import base64
    import json
    from pathlib import Path

    # Unpickling this calls print(); it could call anything.
    call = base64.b64encode(b"cbuiltins\nprint\n(tR.").decode()
    text = json.dumps({"value": None, "pickled": call})
    atexit.register(lambda: Path("result.json").write_text(text))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, ["KeyError: 'b'", 'print(number["b"])', "test_batch_linux.py"]),
        (exits, ["exit code 7"]),
        (exits_with_256, ["called sys.exit() with success before it returned"]),
        (exits_with_success, ["called sys.exit() with success before it returned"]),
        (
            is_not_importable,
            ["No module named 'no_such_package' on this node", "requirements", "has Python 3"],
        ),
        (returns_no_json, ["returned set, which cannot be sent back as JSON", "cloudpickle"]),
        (returns_not_a_number, ["returned float, which cannot be sent back as JSON"]),
        (returns_keys_that_become_one, ["a key of a dict is of type int, not text", "cloudpickle"]),
        (writes_what_executes_on_the_worker, ["result.json of the function was replaced", "just 'value'"]),
    ],
)
def test_what_goes_wrong_on_the_node_is_in_the_error(function, said):
    failed = run(function)

    assert failed.state == "failed"
    assert [text for text in said if text not in failed.message] == []


def uses_the_dag_file() -> int:
    return LIMIT


def inside(type: str) -> Any:  # a name of Python
    def uses_what_is_around() -> str:
        return str(type)

    return uses_what_is_around


def doubled(function: Any) -> Any:
    return functools.wraps(function)(lambda: 2 * function())


@doubled
def is_wrapped() -> int:
    return 1


def takes_an_object(value: Any) -> None:
    print(value)


def takes_a_task_instance(ti: Any = None) -> None:
    print(ti)


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (uses_the_dag_file, (), "uses LIMIT of its Dag file"),
        (is_wrapped, (), "wrapped by a decorator of its own"),
        (takes_an_object, (datetime.date(2026, 1, 1),), "Argument 0 of the function is of type date"),
        # Airflow 3.1 itself refuses it, when it stores the rendered arguments.
        (
            takes_an_object,
            ([{1: "a"}],),
            "a key of a dict is of type int" if AIRFLOW >= (3, 2) else "should be a valid string",
        ),
        (inside("x"), (), "uses type of its Dag file"),
        (takes_a_task_instance, (), "takes ti from Airflow's context"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_any_request(account, function, args, said):
    failed = run(function, *args)

    assert failed.state == "failed"
    assert said in failed.message
    assert account.jobs() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"python": "python9"}, "no working interpreter 'python9'"),
        ({"requirements": ["no-such==1"]}, "requirements could not be installed"),
        ({"python": "/usr/bin/python3", "expect_airflow": True}, "Airflow cannot be imported on this node"),
    ],
)
def test_a_node_that_lacks_something_is_told_in_words(tmp_path, given, said):
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "uv").chmod(0o755)

    def one() -> int:
        return 1

    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert said in run(one, with_={"environment": path, **given}).message


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Write a package that pip and uv install."""
    info = f"{name}-{version}.dist-info"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": records}.items():
            archive.writestr(path, text)


def test_requirements_are_installed_once_a_node_and_cloudpickle_carries_what_json_cannot(tmp_path):
    folder = Path(cloudpickle.__file__).parent
    sources = {f"cloudpickle/{path.name}": path.read_text() for path in folder.glob("*.py")}
    wheel(tmp_path, "cloudpickle", cloudpickle.__version__, sources)
    wheel(tmp_path, "three", "3.0", {"three.py": "DAYS = 3\n"})
    start = datetime.date(2026, 1, 1)

    def days(first: datetime.date) -> set[datetime.date]:
        import three  # type: ignore[import-not-found]

        return {first, start + datetime.timedelta(days=three.DAYS + LIMIT)}

    given = {"requirements": ["three==3.0"], "serializer": "cloudpickle", "python": sys.executable}
    links = {"PIP_FIND_LINKS": str(tmp_path), "UV_FIND_LINKS": str(tmp_path)}
    first = run(days, start, with_={**given, "environment": {**OFFLINE, **links}})
    again = run(days, start, with_={**given, "environment": OFFLINE})

    assert first.state == "success", first.error
    days_of = [sorted(map(str, found.result["__data__"])) for found in (first, again)]
    assert days_of[0] == days_of[1], "A set has no order."
    assert "2026-01-07" in str(first.result)


def test_a_retry_goes_on_with_a_pickled_call_whose_sets_have_another_order(account):
    account.make_pool("empty")

    def count(days: set[int]) -> int:
        return len(days)

    def begun(days: set[int], try_number: int) -> str:
        options = {**FAST, "pool_id": "empty", "serializer": "cloudpickle", "deferrable": True}
        operator = operator_of(batch_linux_task(**options)(count), days)
        return job_of(run_task(operator, try_number=try_number))

    sets = {0, 8}, {8, 0}  # in the order of their addition, as their hashes are equal modulo 8
    assert [list(days) for days in sets] == [[0, 8], [8, 0]]
    first = begun(sets[0], 1)
    assert begun(sets[1], 2) == first
    assert begun({0, 9}, 3) != first


def test_a_command_that_a_function_returns_is_run():
    def command(text: str) -> str:
        return f"echo {text}; test $AZ_BATCH_POOL_ID = etl"

    ran = run_task(operator_of(batch_linux_cmd_task(**FAST)(command), "hello"))

    assert (ran.state, ran.result["exit_code"]) == ("success", 0)
    assert "hello" in ran.log


def test_a_function_that_returns_no_command_fails_before_any_request(account):
    def nothing() -> Any:
        return None

    failed = run_task(operator_of(batch_linux_cmd_task(**FAST)(nothing)))

    assert (failed.state, account.jobs()) == ("failed", [])
    assert "command" in failed.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"files": {"function.json": __file__}},
            "files names function.json, which the decorator uses itself",
        ),
        ({"outputs": {"result.json": "abfs://data/b"}}, "outputs names result.json"),
        ({"exit_codes": {3: "success"}}, "exit_codes makes 3 a success, but a function"),
        ({"exit_codes": {1: "skip"}, "python": "python9"}, "exit_codes makes 1 a skip, but it also means"),
    ],
)
def test_what_would_hide_or_replace_the_work_of_the_function_is_refused(account, given, said):
    failed = run(raises, with_=given)

    assert (failed.state, account.jobs()) == ("failed", [])
    assert said in failed.message


@pytest.mark.parametrize("name", ["command", "result_file"])
def test_parameters_that_the_decorator_sets_itself_are_refused(name):
    with pytest.raises(TypeError, match=f"no parameter {name}"):
        batch_linux_task(**{**FAST, name: "x"})
