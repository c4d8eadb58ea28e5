"""The source of a function as a node gets it, and the names that only its Dag file defines."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.core.functions.call import FunctionCall
from airflow_provider_batchlinux.core.functions.source import standalone_source, undefined_names


def test_decorators_are_left_out_and_comments_kept() -> None:
    text = """
@setup
@task.batch_linux(
    pool_id="etl",
)
def f(a: DataFrame, b: int = 1) -> DataFrame:
    # a reason
    return a
""".strip("\n")

    source = standalone_source(text)

    assert source == (
        "from __future__ import annotations\n\n"
        "def f(a: DataFrame, b: int = 1) -> DataFrame:\n    # a reason\n    return a\n"
    )
    assert undefined_names(source) == []


@pytest.mark.parametrize(
    ("text", "returned"),
    [
        ('    @task()\n    def f():\n        return """\nselect\n    1"""\n', "\nselect\n    1"),
        ('    def f():\n        return """\n        a\n      b"""\n', "\n        a\n      b"),
        ("    def f():\n# why\n        return 1\n", 1),
        ("\t@task()\n\tdef f():\n\t\treturn 'a\tb'\n", "a\tb"),
        ("def f():\n    text = 'a\u2028b\x0cc\x85d'\n    return text\n", "a\u2028b\x0cc\x85d"),
        ("    def f(): return 1\n", 1),
    ],
)
def test_text_in_a_function_is_what_it_was(text: str, returned: object) -> None:
    scope: dict[str, Any] = {}

    exec(standalone_source(text), scope)

    assert scope["f"]() == returned


@pytest.mark.parametrize("text", ["f = task(lambda: 1)", "    lambda: 1)", "x = 1\n", ""])
def test_what_is_no_function_definition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not defined by def"):
        standalone_source(text)


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("return path.join('a')", ["path"]),
        ("import json\n    return json.dumps([len(x) for x in 'ab'])", []),
        ("def inner():\n        return LIMIT\n    return inner()", ["LIMIT"]),
        ("class A:\n        one = 1\n        two = one\n    return A.two, __name__", []),
        ("class A(Base):\n        x = OTHER", ["Base", "OTHER"]),
        ("global counter\n    counter = 1\n    return counter", []),
        ("return f(a)", []),
        ("return a.LIMIT", []),
        ("class A:\n        one: int\n    return A", []),
        ("try:\n        import polars\n    except ImportError as e:\n        print(e)", []),
    ],
)
def test_names_of_the_dag_file_are_found(body: str, missing: list[str]) -> None:
    assert undefined_names(standalone_source(f"def f(a):\n    {body}\n")) == missing


def test_a_name_of_the_dag_file_hides_that_of_python() -> None:
    source = standalone_source("def f():\n    return type(input, __name__)\n")

    assert undefined_names(source, {"type", "other", "__name__"}) == ["type"]


def test_a_default_that_the_dag_file_defines_is_found() -> None:
    assert undefined_names(standalone_source("def f(a=LIMIT):\n    pass\n")) == ["LIMIT"]


def test_the_program_on_the_node_needs_no_newer_python_than_it_says() -> None:
    text = resources.files("airflow_provider_batchlinux.on_node").joinpath("run_function.py").read_text()

    assert ast.parse(text, feature_version=(3, 7))


def test_a_function_that_needs_a_newer_python_than_the_node_has_is_told_in_words(tmp_path: Path) -> None:
    call = FunctionCall(
        "f", "dag.py", "def f():\n    return 1 if\n", (), {}, None, "3.99", expect_airflow=False
    )
    (tmp_path / "function.json").write_text(call.to_json())
    program = resources.files("airflow_provider_batchlinux.on_node").joinpath("run_function.py")

    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 1
    assert "The function does not compile on this node. This node has Python 3." in done.stderr
    assert "the Airflow worker 3.99. Set `python` to a newer interpreter." in done.stderr
