"""The rules that keep the parts apart and the code small, read off the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from statistics import median

import pytest

from tests.source_code import (
    EXAMPLES,
    PACKAGE,
    ROOT,
    SOURCES,
    TESTS,
    Function,
    functions,
    name_of,
    part_of,
    place,
    tree_of,
)

# From the top to the bottom: a layer imports itself and what stands below it.
LAYERS = [
    {"cli"},
    {"operators", "sensors", "triggers", "links"},
    {"hooks"},
    {"client"},
    {"exceptions"},
    {"specs"},
    {"core"},
]
# These import nothing of the package but themselves, and nothing of the package imports them.
ALONE = {"__init__", "get_provider_info", "emulator"}
# All that a part may import beside the standard library and this package.
THIRD_PARTIES = {
    # Only inside functions of users/credentials: OpenSSH's key format is not written by hand a second time.
    "core": {"cryptography"},
    "operators": {"airflow", "jinja2", "yaml"},
    "sensors": {"airflow"},
    "triggers": {"airflow", "asgiref"},
    "links": {"airflow"},
    "hooks": {"airflow", "paramiko"},
    "client": {"azure", "aiohttp", "cryptography"},
    "exceptions": {"airflow"},
    "emulator": {"aiohttp", "asyncssh", "cryptography", "jwt", "pytest", "trustme"},
}
# What parsing a Dag file must not pay for.
HEAVY = {"azure", "aiohttp", "asyncssh"}
IMPURE = {"asyncio", "os", "random", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}
MOCKS = {"AsyncMock", "MagicMock", "Mock", "create_autospec", "patch"}


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Give the names of the modules that the import statements among the nodes ask for."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            inner = [f"{base}.{alias.name}" for alias in node.names]
            yield from [name for name in inner if name in MODULES] or [base]


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: Function) -> int:
    return len([*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs])


MODULES = {name_of(path): path for path in SOURCES}
# Airflow's own SFTP hook, which this one is a kind of, imports asyncssh.
SFTP = f"{PACKAGE}.hooks.node_sftp"
SHELLS = sorted(name for name in MODULES if part_of(name) in LAYERS[1] | LAYERS[2] and name != SFTP)


def may_import(part: str, other: str) -> bool:
    if part in ALONE or other in ALONE:
        return part == other
    below = [layer for index, layer in enumerate(LAYERS) if part in set().union(*LAYERS[: index + 1])]
    return any(other in layer for layer in below)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above(module: str) -> None:
    found = [name for name in imports(ast.walk(tree_of(MODULES[module]))) if name.split(".")[0] == PACKAGE]

    assert [name for name in found if not may_import(part_of(module), part_of(name))] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_third_party_that_is_not_its_own(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(ast.walk(tree_of(MODULES[module])))}
    third_parties = roots - sys.stdlib_module_names - {PACKAGE}

    assert third_parties <= THIRD_PARTIES.get(part_of(module), set())


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        name: [other for other in imports(iter(tree_of(path).body)) if other in MODULES and other != name]
        for name, path in MODULES.items()
    }

    TopologicalSorter(graph).prepare()


def test_the_core_reads_no_clock_and_touches_nothing_outside() -> None:
    for module, path in MODULES.items():
        if part_of(module) != "core":
            continue
        nodes = list(ast.walk(tree_of(path)))
        read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not read & {"now", "today", "utcnow"}, module
        assert not {name.split(".")[0] for name in imports(iter(nodes))} & IMPURE, module


def test_what_a_dag_file_imports_brings_in_nothing_heavy() -> None:
    script = f"import sys, {', '.join(SHELLS)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert SHELLS
    assert set(ran.stdout.split()) & HEAVY == set()


def test_each_module_says_what_it_is_for() -> None:
    assert [name for name, path in MODULES.items() if not ast.get_docstring(tree_of(path))] == []


# Most of these are private; their public modules have a list.
PRIVATE = {"core", "client", "emulator"}
LISTED = [name for name in MODULES if "._" not in name and part_of(name) not in PRIVATE]


@pytest.mark.parametrize("name", LISTED)
def test_a_public_module_lists_what_it_offers(name: str) -> None:
    module = import_module(name)
    listed: list[str] = getattr(module, "__all__", [])
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == name]
    made = {value.__name__ for value in own if isclass(value) or isfunction(value)}

    assert {public for public in made if not public.startswith("_")} <= set(listed)
    assert [name for name in listed if not hasattr(module, name)] == []


def test_no_file_is_longer_than_600_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in [*SOURCES, *TESTS, *EXAMPLES]}

    assert {str(path): length for path, length in lengths.items() if length > 600} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    found = functions([*SOURCES, *TESTS, *EXAMPLES])

    assert [place(path, node) for path, node in found if lines_of(node) > 50] == []


def test_most_functions_are_shorter_than_10_lines() -> None:
    assert median(lines_of(node) for _, node in functions(SOURCES)) < 10


def test_only_what_dag_authors_fill_in_takes_more_than_12_parameters() -> None:
    many = [
        place(path, node)
        for path, node in functions(SOURCES)
        if parameters_of(node) > 12
        and not (node.name == "__init__" and part_of(name_of(path)) in {"operators", "sensors"})
    ]

    assert many == []


def test_no_test_waits_for_time_to_pass() -> None:
    # The demo, the benchmarks and the tests of a whole Airflow wait for processes, not for code of ours.
    tests = [path for path in TESTS if not {"demo", "bench", "e2e"} & set(path.parts)]
    calls = [(path, node) for path in tests for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    naps = [
        (path, call)
        for path, call in calls
        if ast.unparse(call.func) in {"time.sleep", "asyncio.sleep", "sleep"}
    ]

    assert [place(path, call) for path, call in naps if ast.unparse(call) != "asyncio.sleep(0)"] == []


def test_at_most_one_test_in_20_stands_on_a_mock() -> None:
    tests = [node for _, node in functions(TESTS) if node.name.startswith("test_")]
    named = [node.id for path in TESTS for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)]

    assert 20 * len([name for name in named if name in MOCKS]) <= len(tests)


def test_no_file_names_the_machine_it_was_written_on() -> None:
    here = [f"{folder}/" for folder in (ROOT, Path.home()) if folder != Path(folder.anchor)]

    assert [name for name, text in tracked_texts() if any(path in text for path in here)] == []


def test_nothing_that_installs_names_where_packages_come_from() -> None:
    names = {"Makefile", "pyproject.toml", ".ci/run", ".pre-commit-config.yaml", "requirements.lock"}
    installs = {name: text for name, text in tracked_texts() if name in names or name.endswith(".lock")}

    assert names <= set(installs)
    assert [name for name, text in installs.items() if "://" in text or "--index" in text] == []


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Give the name and the text of each file under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT)
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")
