"""What the documentation says of the code is so, and what users may use is documented."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import runpy
import shlex
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pendulum
import pytest
from airflow.cli.cli_parser import get_parser
from airflow.providers.sftp.operators.sftp import SFTPOperator
from airflow.providers.ssh.operators.ssh import SSHOperator
from airflow.sdk import DAG, BaseOperator, TaskGroup, XComArg, task

import airflow_provider_batchlinux as package
from airflow_provider_batchlinux import _metrics, emulator, exceptions, specs
from airflow_provider_batchlinux.client.transport.account import AuthKind
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.emulator import EmulatorControl, EmulatorOptions
from airflow_provider_batchlinux.emulator.__main__ import main as run_emulator
from airflow_provider_batchlinux.emulator.protocol.odata import parse_filter
from airflow_provider_batchlinux.get_provider_info import get_provider_info
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.hooks.node_sftp import BatchLinuxNodeSFTPHook
from airflow_provider_batchlinux.hooks.node_ssh import BatchLinuxNodeSSHHook
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolGoneSensor
from tests.airflow_harness import load_dag
from tests.docs_site.docstrings import HOME, documented, ours, parameters, public_classes
from tests.docs_site.reference import generated_pages
from tests.docs_site.settings import command_line_parsers
from tests.source_code import EXAMPLES, ROOT, SOURCES, TESTS, Function, place, tree_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONNECT = (ROOT / "docs" / "howto" / "connect-an-account.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = ["task_groups", "operators", "sensors", "triggers", "hooks", "links"]


TASKS = public_classes("task_groups", "operators", "sensors")


@pytest.mark.parametrize("cls", [*TASKS, BatchLinuxHook])
def test_a_class_documents_each_parameter_that_it_takes(cls: type) -> None:
    assert documented(cls.__doc__).keys() == parameters(cls).keys()


@pytest.mark.parametrize("cls", public_classes("triggers"))
def test_a_trigger_and_its_base_document_each_parameter_together(cls: type) -> None:
    assert {name for base in ours(cls) for name in documented(base.__doc__)} == parameters(cls).keys()


@pytest.mark.parametrize("cls", [cls for cls in TASKS if issubclass(cls, BaseOperator)])
def test_a_parameter_is_called_templated_if_and_only_if_it_is(cls: Any) -> None:
    said = {name for name, text in documented(cls.__doc__).items() if text.rstrip().endswith("(templated)")}

    assert said == set(cls.template_fields)


@pytest.fixture(scope="module")
def site() -> dict[str, str]:
    """Return the generated pages of the documentation site."""
    return generated_pages()


def test_each_page_is_in_the_navigation_of_the_site_once(site: dict[str, str]) -> None:
    toctree = re.compile(r"^```{toctree}\n(?::[^\n]*\n)*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    listed = toctree.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    entries = sorted(entry for block in listed for entry in block.split())
    pages = [str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES[1:]]
    generated = [name.removesuffix(".rst") for name in site if name.endswith("/index.rst")]

    assert entries == sorted([*(page for page in pages if page != "index"), *generated, "changelog"])


@pytest.mark.parametrize("cls", [cls for cls in TASKS if issubclass(cls, BaseOperator)])
def test_the_reference_has_each_parameter_with_its_kind_and_default(cls: Any, site: dict[str, str]) -> None:
    page = site["reference/" + cls.__module__.partition(".")[2].replace(".", "/") + ".rst"]
    section = page.partition(f".. py:class:: {cls.__name__}\n")[2].partition(".. py:class:: ")[0]
    entry = re.compile(
        r"^    ``(\w+)``\n(?:(?:        .*)?\n)*?        (\*(?:Kind|Default):\* .*)", re.MULTILINE
    )
    facts = dict(entry.findall(section))
    read = cls.request_class().__dataclass_fields__.keys()

    assert facts.keys() == parameters(cls).keys()
    assert {name for name, fact in facts.items() if "*Default:* " not in fact} == set()
    assert {name for name, fact in facts.items() if fact.startswith("*Kind:* ")} == read & facts.keys()
    assert {name for name, fact in facts.items() if "*Templated.*" in fact} == set(cls.template_fields)


def test_the_reference_has_every_setting_error_and_metric(site: dict[str, str]) -> None:
    info = get_provider_info()
    options = [action for parser in command_line_parsers() for action in parser._actions]
    wanted = {
        "connection": info["connection-types"][0]["conn-fields"],
        "configuration": info["config"]["batch_linux"]["options"],
        "command-line": [name for option in options for name in option.option_strings if name[:2] == "--"],
        "errors": [cls.__name__ for cls in public_classes("exceptions")],
        "metrics": re.findall(r'"(batchlinux\.[\w.]+)"', inspect.getsource(_metrics)),
        "specs": specs.__all__,
        "results": [cls.__name__ for cls in public_classes("operators", "sensors")],
    }
    missing = {
        (page, name)
        for page, names in wanted.items()
        for name in names
        if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", site[f"reference/{page}.rst"])
    }

    assert missing - {("command-line", "--help")} == set()


def definitions(node: ast.AST, kind: type | Any) -> Iterator[Any]:
    yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, kind))


def public_functions() -> Iterator[tuple[Path, Function]]:
    """Give the functions that no name calls private, and the methods of classes that none does."""
    for path in SOURCES:
        scopes = [tree_of(path), *definitions(tree_of(path), ast.ClassDef)]
        open_scopes = [scope for scope in scopes if not getattr(scope, "name", "").startswith("_")]
        for scope in open_scopes:
            found = definitions(scope, Function)
            yield from ((path, function) for function in found if not function.name.startswith("_"))


def test_each_public_function_says_what_it_does() -> None:
    silent = [place(path, node) for path, node in public_functions() if not ast.get_docstring(node)]

    assert silent == []


def test_each_public_class_says_what_it_is() -> None:
    found = [node for path in SOURCES for node in definitions(tree_of(path), ast.ClassDef)]
    silent = [node.name for node in found if not ast.get_docstring(node) and not node.name.startswith("_")]

    assert silent == []


def test_no_function_documents_a_parameter_that_it_does_not_take() -> None:
    for path, node in public_functions():
        taken = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        assert set(documented(ast.get_docstring(node))) <= taken, place(path, node)


def test_the_tree_of_exceptions_shows_each_of_them_once() -> None:
    tree = (exceptions.__doc__ or "").partition("Wrong arguments")[0]

    assert sorted(re.findall(r"\w+Error\b", tree)) == sorted(
        cls.__name__ for cls in public_classes("exceptions")
    )


def test_the_package_names_all_its_parts() -> None:
    parts = {path.name for path in HOME.iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert set(re.findall(r"(\w+)/", package.__doc__ or "")) == parts


def blocks(language: str) -> list[Any]:
    """Give the blocks of code in the pages, each with its place as its name."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [(page, match) for page in PAGES for match in pattern.finditer(page.read_text(encoding="utf-8"))]
    return [pytest.param(match[1], id=f"{page.name}-{match.start()}") for page, match in found]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_pages_is_python(code: str) -> None:
    assert ast.parse(code).body


@pytest.mark.parametrize("code", [block for block in blocks("python") if "with DAG(" in block.values[0]])
def test_a_dag_in_the_pages_is_one_to_airflow(code: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.py"
    file.write_text(code)
    values = runpy.run_path(str(file)).values()
    tasks: set[Any] = {value for value in values if isinstance(value, BaseOperator)}
    tasks |= {task for value in values if isinstance(value, TaskGroup) for task in value}
    tasks |= {task for value in values if isinstance(value, XComArg) for task, _ in value.iter_references()}
    [dag] = {task.dag.dag_id: task.dag for task in tasks}.values()

    assert set(dag.task_ids) == {task.task_id for task in tasks}


EXCERPT = re.compile(r"^<!-- (\w+\.py): (\w+) -->\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def marked_parts() -> dict[tuple[str, str], str]:
    """Return the parts of the example Dags between ``[START name]`` and ``[END name]``, dedented."""
    pattern = re.compile(r"^ *# \[START (\w+)\]\n(.*?)^ *# \[END \1\]", re.MULTILINE | re.DOTALL)
    return {
        (path.name, name): textwrap.dedent(text)
        for path in EXAMPLES
        for name, text in pattern.findall(path.read_text(encoding="utf-8"))
    }


FRAGMENTS = [
    block
    for block in blocks("python")
    # Whole Dags, tests and marked parts of example Dags are run elsewhere.
    if re.match(
        r"(?:from airflow_provider_batchlinux.*\n|\n)*(?:\w+ = )?BatchLinux\w+(?:Operator|Sensor)\(",
        block.values[0],
    )
    and textwrap.dedent(block.values[0]) not in marked_parts().values()
]


@pytest.mark.parametrize("code", FRAGMENTS)
def test_a_task_in_the_pages_is_one_to_airflow(code: str) -> None:
    names: dict[str, Any] = {name: getattr(specs, name) for name in specs.__all__}
    names |= {cls.__name__: cls for cls in TASKS}
    with DAG("shown", schedule=None) as dag:
        exec(compile(code, "<page>", "exec"), names)

    [made] = dag.tasks
    # What a template or another task gives is not known here.
    if "{{" not in code and not made.upstream_task_ids:
        task: Any = made
        assert task.read_request()


CALLED = {"hook": BatchLinuxHook, "control": EmulatorControl}
"""What the names of objects in the pages are."""


def test_a_method_that_the_pages_call_takes_what_they_give_it() -> None:
    code = "\n".join(textwrap.dedent(block.values[0]) for block in blocks("python"))
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    found = [
        (CALLED[name], call.func.attr, call)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and (name := ast.unparse(call.func.value).rpartition(".")[2]) in CALLED
    ]

    for cls, method, call in found:
        given = {keyword.arg: None for keyword in call.keywords if keyword.arg}
        inspect.signature(getattr(cls, method)).bind(None, *call.args, **given)
    assert len(found) > 5


def test_the_readme_shows_a_whole_dag() -> None:
    assert "with DAG(" in README


SHOWN = {"ACCOUNT": "fabrikam", "REGION": "westeurope", "KEY": "a2V5"}


@pytest.mark.parametrize("value", re.findall(r"^export AIRFLOW_CONN_\w+='(.*?)'", CONNECT, re.M | re.S))
def test_a_connection_in_the_pages_leads_to_the_account(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", filled(value))
    settings = BatchLinuxHook().settings()

    assert settings.endpoint == "https://fabrikam.westeurope.batch.azure.com"
    assert (settings.account_name, settings.account_key) == ("fabrikam", "a2V5")


def filled(text: str) -> str:
    return re.sub("|".join(SHOWN), lambda match: SHOWN[match[0]], text)


ADDED = re.findall(r"^airflow connections add [^#]*?\}'$", f"{README}\n{CONNECT}", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", ADDED)
def test_a_command_that_adds_a_connection_is_one_to_airflow(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = get_parser().parse_args(shlex.split(filled(command).replace("\\\n", " "))[1:])
    fields = {"conn_type": given.conn_type, "login": given.conn_login, "password": given.conn_password}
    value = json.dumps({**fields, "extra": json.loads(given.conn_extra)})
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", value)

    assert given.conn_id == "azure_batch_linux_default"
    assert BatchLinuxHook().settings().endpoint == "https://fabrikam.westeurope.batch.azure.com"


def test_the_page_on_connections_explains_each_way_to_authenticate() -> None:
    rows = re.findall(r"^\| `?(\w+)`? \|", CONNECT.partition("| `auth` |")[2], re.MULTILINE)

    assert rows[: len(AuthKind) + 1] == ["empty", *(kind.value for kind in AuthKind)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_what_make_can_make(page: Path) -> None:
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = re.findall(r"(?:`|^)make ([a-z0-9]+)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(shown) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_existing_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [page.parent / path for path in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    # What make writes is not there before.
    named = re.findall(r"`(?!build/|dist/)([\w./]+/[\w.]*)`", text)

    assert [path for path in linked if not path.exists()] == []
    assert [path for path in named if not ((ROOT / path).exists() or (HOME / path).exists())] == []


def headings(page: Path) -> list[tuple[int, str]]:
    """Return the level and the anchor of each heading, outside of blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
    return [
        (len(marks), re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-"))
        for marks, title in found
    ]


def test_a_link_into_a_page_leads_to_a_heading() -> None:
    """So does the site, strictly; here it takes no time."""
    anchors = {page.resolve(): {anchor for _, anchor in headings(page)} for page in PAGES}
    lost = [
        (page.name, target, anchor)
        for page in PAGES
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")
        )
        if anchor not in anchors[(page.parent / target).resolve() if target else page.resolve()]
    ]

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_heading_is_at_most_one_level_below_the_last(page: Path) -> None:
    levels = [0, *(level for level, _ in headings(page))]

    assert [after for before, after in pairwise(levels) if after > before + 1] == []


def test_the_picture_of_the_house_names_only_existing_folders() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    named = set(re.findall(r"(?<![\w`])(\w+)/", picture))

    assert len(named) > 20
    assert named - {path.name for path in HOME.rglob("*") if path.is_dir()} == set()


def test_the_page_on_architecture_has_two_screens() -> None:
    assert len((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()) <= 125


def test_a_parameter_is_followed_to_the_wire_in_at_most_six_files() -> None:
    """Each file has the names that the table of docs/architecture.md gives of it."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [
        re.findall(r"`([^`]+)`", row)
        for row in page.partition("## Follow one parameter")[2].partition("\n## ")[0].splitlines()
        if row.startswith("| `")
    ]

    assert 0 < len(rows) <= 6
    for file, *names in rows:
        text = (HOME / file).read_text(encoding="utf-8")
        missing = [name for name in names if name.removeprefix(METADATA_PREFIX) not in text]
        assert (names != [], missing) == (True, []), file


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions[0] in {package.__version__, "Unreleased"}


def test_the_pages_show_the_marked_parts_of_the_example_dags() -> None:
    shown = [match for page in PAGES for match in EXCERPT.findall(page.read_text(encoding="utf-8"))]
    parts = marked_parts()

    assert {(name, part): text for name, part, text in shown} == parts


@pytest.mark.parametrize("cls", TASKS)
def test_a_class_refers_to_its_guide(cls: type) -> None:
    """The ``seealso`` of a public operator or sensor names pages that mention it."""
    said = inspect.cleandoc(cls.__doc__ or "").partition(".. seealso::")[2].partition("\n:param")[0]
    guides = [ROOT / path for path in re.findall(r"``(docs/[\w/-]+\.md)``", said)]

    assert guides, f"{cls.__name__} has no seealso"
    assert [page for page in guides if cls.__name__ not in page.read_text(encoding="utf-8")] == []


CODE_BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)


@pytest.mark.parametrize("cls", [*TASKS, BatchLinuxHook, BatchLinuxNodeSSHHook, BatchLinuxNodeSFTPHook])
def test_the_example_of_a_docstring_is_a_part_of_a_dag(cls: type) -> None:
    examples = [
        textwrap.dedent(code) for code in CODE_BLOCK.findall(inspect.cleandoc(cls.__doc__ or "") + "\n")
    ]
    names: dict[str, Any] = {name: getattr(specs, name) for name in specs.__all__}
    names |= {each.__name__: each for each in TASKS} | {"DAG": DAG, "pendulum": pendulum, "task": task}
    names |= {cls.__name__: cls, "SSHOperator": SSHOperator, "SFTPOperator": SFTPOperator}

    with DAG("shown", schedule=None):
        # What other tasks of the Dag are called in the examples.
        names |= {name: BatchLinuxPoolGoneSensor(task_id=name, pool_id="etl") for name in ("wait", "work")}
        names["create"] = BatchLinuxCreatePoolOperator(
            task_id="pool", image="ubuntu 24.04", vm_size="standard_d2s_v5"
        )
        for code in examples:
            exec(compile(code, f"<example of {cls.__name__}>", "exec"), dict(names))

    assert cls.__name__ in "".join(examples)


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs" / "howto").glob("*.md")), ROOT / "docs" / "security.md"]
)
def test_a_page_that_speaks_as_airflow_does_leads_people_who_know_batch_to_the_words(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)

    assert "concepts.md" in text or not re.search(r"deferr|triggerer|XCom|teardown|mapped task", prose)


@pytest.mark.parametrize("name", specs.__all__)
def test_a_spec_and_a_formula_have_an_example_that_a_pool_takes(name: str) -> None:
    examples = CODE_BLOCK.findall(inspect.cleandoc(getattr(specs, name).__doc__ or "") + "\n")
    names = {name: getattr(specs, name) for name in specs.__all__} | {task.__name__: task for task in TASKS}

    with DAG("shown", schedule=None):
        for code in examples:
            *before, last = ast.parse(textwrap.dedent(code)).body
            exec(compile(ast.Module(before, []), name, "exec"), names)
            shown = eval(compile(ast.Expression(cast("ast.Expr", last).value), name, "eval"), names)
            parameter = next((part for part, of in PoolSpec.PARTS.items() if isinstance(shown, of)), None)
            if parameter is not None:
                given = {parameter: [shown] if parameter == "user_accounts" else shown}
                nodes = {} if parameter == "autoscale" else {"dedicated_nodes": 1}
                pool: Any = {
                    "image": "ubuntu-hpc 24.04",
                    "containers": specs.ContainerSpec(),
                    **nodes,
                    **given,
                }
                assert PoolSpec("etl", vm_size="standard_d4s_v5", **pool).problems() == []

    assert name in "".join(examples)


def test_the_examples_of_the_emulator_run(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [
        CODE_BLOCK.findall(inspect.cleandoc(one.__doc__ or ""))
        for one in (emulator.run_emulator, EmulatorControl)
    ]
    names = {name: getattr(emulator, name) for name in emulator.__all__} | {"os": os}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", "")

    with emulator.run_emulator() as running:
        monkeypatch.setenv("AZURE_BATCH_ENDPOINT", running.endpoint)
        monkeypatch.setenv("BATCHLINUX_EMULATOR_CONTROL_TOKEN", running.control_token)
        for (code,) in examples:
            exec(textwrap.dedent(code), names)


def test_the_filters_of_nodes_that_docstrings_show_are_taken() -> None:
    shown = [
        found
        for cls in TASKS
        for found in re.findall(
            r"OData filter on the list of nodes, such as\s+``\"(.+?)\"``", cls.__doc__ or ""
        )
    ]

    assert shown
    for text in shown:
        parse_filter(text, "nodes")


def test_the_help_of_the_emulator_gives_the_defaults_of_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run_emulator(["--help"])

    said = " ".join(capsys.readouterr().out.split())
    defaults = EmulatorOptions()
    for option in (f"account name; default: {defaults.account}", f"faults; default: {defaults.profile}"):
        assert option in said
    assert f"divided; default: {defaults.speed:g}" in said
    assert (defaults.spread, "(as recorded, the default)" in said) == (1.0, True)


@pytest.mark.parametrize("path", sorted((ROOT / "example_dags").glob("*.py")), ids=lambda path: path.name)
def test_an_example_dag_explains_itself_in_airflow(path: Path) -> None:
    assert load_dag(path).doc_md == ast.get_docstring(ast.parse(path.read_text()), clean=False)


def test_the_typed_dag_uses_all_that_is_public() -> None:
    tree = tree_of(ROOT / "tests" / "typing" / "api.py")
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    assert {cls.__name__ for cls in public_classes(*SHELLS, "exceptions")} - used == set()


def test_each_fault_of_the_table_names_tests_that_there_are() -> None:
    rows = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    faults = [row for row in rows if row.startswith("| ") and not row.startswith("| fault")]
    there = {
        name for path in TESTS for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }

    shown = [re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2]) for row in faults]

    assert len(faults) > 30
    assert [row for row, names in zip(faults, shown, strict=True) if not names] == []
    assert {name for names in shown for name in names} <= there


def test_each_test_of_reliability_has_its_row_in_the_table() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    found = [path for path in TESTS if path.name.startswith("test_reliability_")]
    names = {
        name for path in found for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }

    assert len(found) == 4
    assert {name for name in names if f"`{name}`" not in page} == set()
