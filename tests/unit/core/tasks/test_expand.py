"""The commands of a job: shared and own parts, items, ids, dependencies."""

from __future__ import annotations

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.tasks.expand import dependency_problems, expanded
from airflow_provider_batchlinux.specs import InputSpec, OutputSpec, TaskContainerSpec, TaskSpec

SHARED = TaskSpec(
    "shared",
    environment={"A": "1", "B": "1"},
    container=TaskContainerSpec("python:3.12"),
    required_slots=2,
    exit_codes={3: "skip"},
)


def test_a_command_has_the_shared_parts_and_its_own_beside_or_instead_of_them() -> None:
    own = TaskSpec("own", environment={"B": "2"}, required_slots=4, exit_codes={4: "fail"}, id="own")

    plain, found = expanded(SHARED, ["plain", own], None).items()

    assert plain == ("00000", TaskSpec(**{**vars(SHARED), "command": "plain"}))
    assert found[0] == "own"
    assert (found[1].command, found[1].required_slots) == ("own", 4)
    assert found[1].environment == {"A": "1", "B": "2"}
    assert (found[1].container, found[1].exit_codes) == (SHARED.container, {4: "fail"})
    assert expanded(SHARED, [TaskSpec(id="x")], None)["x"].command == "shared"


def test_an_item_is_in_all_texts_and_quoted_in_the_command() -> None:
    shared = TaskSpec(
        "run {item.name} {item.rate} '{other}' ${VAR}",
        environment={"NAME": "<{item.name}>"},
        inputs={"{item.name}.csv": InputSpec("abfs://raw/{item.name}", mode="0755")},
        outputs={
            "out": OutputSpec("abfs://clean/{item.name}/", optional=True),
            "b": "abfs://logs/{item.rate}",
        },
        result_file="{item.name}.json",
    )

    [(task_id, task)] = expanded(shared, None, [{"name": "a b", "rate": 0.5}]).items()

    assert task_id == "00000-name-a-b-rate-0-5"
    assert task.command == "run 'a b' 0.5 '{other}' ${VAR}"
    assert task.environment == {"NAME": "<a b>"}
    assert task.inputs == {"a b.csv": InputSpec("abfs://raw/a b", mode="0755")}
    assert task.outputs["out"] == OutputSpec("abfs://clean/a b/", optional=True)
    assert task.outputs["b"] == "abfs://logs/0.5"
    assert task.result_file == "a b.json"


def test_ids_are_compared_as_the_service_does() -> None:
    tasks = expanded(SHARED, [TaskSpec("a", id="First"), TaskSpec("b", id="b", depends_on=["first"])], None)

    assert tasks["b"].depends_on == ("First",)


@settings(max_examples=50)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_an_item_is_one_word_of_the_command_whatever_it_contains(item: str) -> None:
    [task] = expanded(TaskSpec("echo {item}"), None, [item]).values()

    assert shlex.split(task.command or "") == ["echo", item]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo {item.a-b}", ["echo", "1 2"]),
        ("echo {item.a b}", ["echo", "3"]),
        ("""echo '{"rate": '{item.a b}'}'""", ["echo", '{"rate": 3}']),
        ("""echo "it's "{item.a-b}"!" """, ["echo", "it's 1 2!"]),
        ("awk '{item[$1]++} {items}'", ["awk", "{item[$1]++} {items}"]),
    ],
)
def test_every_place_of_an_item_is_filled_and_nothing_else(command: str, words: list[str]) -> None:
    [task] = expanded(TaskSpec(command), None, [{"a-b": "1 2", "a b": 3}]).values()

    assert shlex.split(task.command or "") == words


HOSTILE = "a b'$(touch ran)`touch ran`\"\\; touch ran\n touch ran #\nE\ntouch ran\n"
"""Runs something wherever bash does not take it as one word."""


@pytest.mark.parametrize(
    "command",
    [
        "printf %s {item}",
        """printf %s "it's "'"'{item} # it's""",
        "printf %s a\\\\{item}#b",
        """printf %s $'it\\'s'{item}""",
        """printf %s "$(printf %s {item})" """,
        """printf %s "${x:-"$(printf %s {item})"}" """,
        """case {item} in (a) ;; b) ;; *) printf %s {item};; esac""",
        "cat <<-'E' - <(printf %s {item})\n\tit's `\n\tE\nprintf %s {item}",
        "cat <<< {item}",
        '(printf %s {item}) && ((1 << 2)) && printf %s "$((1 << 2))" {item}',
        "printf %s $$ $#{item} \\${item}",
    ],
)
def test_bash_takes_an_item_as_one_word_wherever_it_may_be(command: str, tmp_path: Path) -> None:
    [task] = expanded(TaskSpec(command), None, [HOSTILE]).values()
    done = subprocess.run(
        ["bash", "-c", task.command or ""], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert HOSTILE.rstrip("\n") in done.stdout
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ('rm "{item}"', "in double quotes"),
        ('cat "data/{item}.csv"', "in double quotes"),
        ("""echo "$(echo ")" '(') {item}" """, "in double quotes"),
        ("""echo "`echo \\"x\\"` {item}" """, "in double quotes"),
        ("rm -f='{item.x}'", "in single quotes"),
        ("""echo '{"a": "{item}"}'""", "in single quotes"),
        ("bash -c 'wc {item}'", "in single quotes"),
        ("echo $'a\\' {item}'", "in single quotes"),
        ("cat <<E\n{item}\nE", "in a here-document"),
        ("cat <<A <<-'B'\nA\n\t{item}\n\tB\n", "in a here-document"),
        ("cat <<E\n\tE\n{item}\nE", "in a here-document"),
        ("true # {item}", "in a comment"),
        ("echo `cat {item}`", "between backquotes"),
        ("echo ${x:-{item}}", "within ${...}"),
        ("echo ${item}", "behind $"),
        ("echo \\{item}", "behind \\"),
    ],
)
def test_an_item_is_refused_where_bash_does_not_take_it_as_one_word(command: str, where: str) -> None:
    word = "{item.x}" if "{item.x}" in command else "{item}"

    with pytest.raises(ValueError, match=re.escape(f"command has {word} {where}, where bash would not take")):
        expanded(TaskSpec(command), None, [{"x": 1}])


@pytest.mark.parametrize("command", ["echo $(({item} + 1))", "((x = 1 + ({item})))", "echo $[{item}]"])
def test_in_arithmetic_an_item_has_to_be_a_number(command: str) -> None:
    [*tasks] = expanded(TaskSpec(command), None, [-3, "17", 0.5]).values()
    assert [task.command for task in tasks] == [
        command.replace("{item}", text) for text in ("-3", "17", "0.5")
    ]

    for item in ("a[$(touch ran)]", "x", "1 + 1", "1\n", "", [1]):
        with pytest.raises(
            ValueError, match=r"items\[0\]: it is not a number, and '{item}' is part of arithmetic"
        ):
            expanded(TaskSpec(command), None, [item])


@pytest.mark.parametrize(
    ("others", "ends"), [([TaskSpec("b", depends_on=["A"])], False), ([], True)], ids=["waited for", "end"]
)
@pytest.mark.parametrize("ending", ["fail", "retry"])
def test_exit_code_0_is_no_failure_on_which_the_service_would_have_to_act(
    others: list[TaskSpec], ends: bool, ending: Any
) -> None:
    for codes, is_refused in (({0: ending}, True), ({0: "skip", 3: ending}, False)):
        tasks = [TaskSpec("a", id="a", exit_codes=codes), *others]
        if not is_refused:
            expanded(TaskSpec(), tasks, None, ends_with_failure=ends)
            continue
        with pytest.raises(ValueError, match="exit_codes of 'a' makes 0 a failure, but the service counts 0"):
            expanded(TaskSpec(), tasks, None, ends_with_failure=ends)
    expanded(TaskSpec(), [TaskSpec("a", exit_codes={0: ending})], None)


@pytest.mark.parametrize(
    ("tasks", "items", "complaint"),
    [
        ([TaskSpec("a", id="x"), TaskSpec("b", id="X")], None, "tasks[1] and tasks[0] have the same id 'X'."),
        ([TaskSpec("a", id="00001"), "b"], None, "tasks[1] and tasks[0] have the same id '00001'."),
        ([TaskSpec("a", depends_on=["b"])], None, "depends_on of '00000' names 'b', but no command has this"),
        ([TaskSpec("a", id="a", depends_on=["A"])], None, "makes a circle: 'a' waits for 'a'."),
        (
            [TaskSpec("c", id="c", depends_on=["a"]), TaskSpec("a", id="a", depends_on=["c"]), "free"],
            None,
            "makes a circle: 'c' waits for 'a' waits for 'c'.",
        ),
        ([TaskSpec("a", id="jobpreparation")], None, "is reserved for a task of the job itself"),
        (["fine", " "], None, "tasks[1]: command is empty."),
        ([TaskSpec("a", coordination_command="b")], None, "coordination_command is for a command with inst"),
        ([TaskSpec("a", instances=2)], None, "a command with instances has one slot on each node"),
        (
            [TaskSpec("a", exit_codes={3: "success"}, outputs={"o": "abfs://clean/o"})],
            None,
            "exit_codes makes 3 a success, but outputs['o'] is uploaded",
        ),
        (None, [{"n": 1}, {"m": 1}], "items[1]: it has no 'n', which '{item.n}' names."),
        (None, ["text"], "items[0]: it has no 'n'"),
    ],
)
def test_what_makes_no_commands_is_refused_by_its_place(tasks: Any, items: Any, complaint: str) -> None:
    shared = TaskSpec("run {item.n}") if items else SHARED

    with pytest.raises(ValueError, match=r"[.]") as raised:
        expanded(shared, tasks, items)

    assert complaint in str(raised.value)


def test_of_many_wrong_commands_a_few_are_named() -> None:
    with pytest.raises(ValueError, match=r"[.]") as raised:
        expanded(SHARED, [" "] * 1000, None)

    lines = str(raised.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "995 more problems of this kind."


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, TaskSpec]:
    size = draw(st.integers(1, 8))
    edges = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=12))
    return {
        str(one): TaskSpec("true", depends_on=[str(to) for start, to in edges if start == one])
        for one in range(size)
    }


@settings(max_examples=100)
@given(graphs())
def test_a_circle_is_found_if_and_only_if_some_command_could_never_start(tasks: dict[str, TaskSpec]) -> None:
    ended: set[str] = set()
    while more := {
        one for one, task in tasks.items() if one not in ended and ended.issuperset(task.depends_on)
    }:
        ended |= more

    problems = dependency_problems(tasks)

    assert bool(problems) is (len(ended) < len(tasks))
    for problem in problems:
        circle = [name.strip(" '.") for name in problem.partition("circle:")[2].split("waits for")]
        assert circle[0] == circle[-1]
        assert all(to in tasks[one].depends_on for one, to in pairwise(circle))
