"""The structure of the package: layers, folders, what is public, and sizes. Read from the source, not run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from statistics import median

from tests.source_code import (
    EXAMPLES,
    MODULES,
    PACKAGE,
    ROOT,
    SOURCES,
    TESTS,
    Function,
    functions,
    imports,
    is_public,
    name_of,
    nodes_of,
    part_of,
    place,
    tracked_texts,
    tree_of,
)
from tests.warm_python import warm_python

# From top to bottom. A module imports its own layer and the layers below.
LAYERS = [
    {"cli"},
    {"task_groups"},
    {"decorators"},
    {"operators", "sensors", "triggers", "links", "plugins"},
    {"_metrics"},
    {"hooks"},
    {"client"},
    {"exceptions"},
    {"specs"},
    {"core"},
    {"rest_schema"},
]
# These import nothing else from the package, and nothing else in the package imports them.
ALONE = {"__init__", "get_provider_info", "emulator", "on_node"}
# What a part may import besides the standard library and this package.
THIRD_PARTIES = {
    # Only inside functions of users/credentials: OpenSSH's key format is not written by hand a second time.
    "core": {"cryptography", "pendulum"},
    "operators": {"airflow", "async_timeout", "jinja2", "yaml"},
    "sensors": {"airflow"},
    "triggers": {
        "airflow",
        "asgiref",
        "async_timeout",
        "typing_extensions",
    },  # the latter only for type checkers
    "links": {"airflow"},
    # All but the first are in every Airflow, and imported only by its API server.
    "plugins": {"airflow", "fastapi", "httpx", "jinja2", "sqlalchemy", "starlette"},
    "_metrics": {"airflow"},
    "task_groups": {"airflow", "typing_extensions"},
    "decorators": {"airflow"},
    "cli": {"airflow", "argcomplete", "rich"},
    "on_node": {"airflow", "cloudpickle"},
    "hooks": {"airflow", "paramiko"},
    # yarl: the URLs of aiohttp.
    "client": {"azure", "aiohttp", "async_timeout", "cryptography", "yarl"},
    "exceptions": {"airflow"},
    "emulator": {"aiohttp", "async_timeout", "asyncssh", "cryptography", "jwt", "pytest", "trustme"},
}
# Airflow parses Dag files again and again; these take too long to import for that.
HEAVY = {"azure", "aiohttp", "asyncssh"}
IMPURE = {"asyncio", "os", "random", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}
MOCKS = {"AsyncMock", "MagicMock", "Mock", "create_autospec", "patch"}
# Airflow's SFTP hook, the base class of this module's, imports asyncssh.
SFTP = f"{PACKAGE}.hooks.node_sftp"
# What only Airflow's API server imports.
SERVED = f"{PACKAGE}.plugins._"


def own_imports(module: str) -> Iterator[str]:
    """Yield the modules of this package that a module imports anywhere, also inside functions."""
    yield from (name for name in imports(nodes_of(MODULES[module])) if name.split(".")[0] == PACKAGE)


def may_import(part: str, other: str) -> bool:
    if part in ALONE or other in ALONE:
        # The embedded service reads the same schema of REST bodies as the core, and nothing else of it.
        return part == other or other == "rest_schema"
    below = [layer for index, layer in enumerate(LAYERS) if part in set().union(*LAYERS[: index + 1])]
    return any(other in layer for layer in below)


def test_modules_import_only_their_own_layer_and_those_below() -> None:
    upwards = [
        f"{module} imports {name}"
        for module in MODULES
        for name in own_imports(module)
        if not may_import(part_of(module), part_of(name))
    ]

    assert upwards == []


def test_each_part_imports_only_its_own_third_parties() -> None:
    for module, path in MODULES.items():
        roots = {name.split(".")[0] for name in imports(nodes_of(path))}
        third_parties = roots - sys.stdlib_module_names - {PACKAGE}
        assert third_parties <= THIRD_PARTIES.get(part_of(module), set()), module


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    # Wherever the import is: also inside a function, or only for type checkers.
    graph = {name: {other for other in own_imports(name) if other in MODULES} - {name} for name in MODULES}

    TopologicalSorter(graph).prepare()


def test_folders_do_not_import_each_other_in_a_circle() -> None:
    def folder(module: str) -> str:
        return ".".join(MODULES[module].parent.relative_to(ROOT / PACKAGE).parts)

    arrows = {(folder(module), folder(name)) for module in MODULES for name in own_imports(module)}
    graph = defaultdict(set)
    for upper, lower in arrows:
        if upper != lower:
            graph[upper].add(lower)

    TopologicalSorter(graph).prepare()


def test_a_subject_has_the_same_name_in_the_core_the_client_and_the_tests() -> None:
    core, client = (
        {path.name for path in (ROOT / PACKAGE / layer).iterdir() if (path / "__init__.py").is_file()}
        for layer in ("core", "client")
    )
    tested = {path.parent for path in TESTS if path.is_relative_to(ROOT / "tests" / "unit")}
    mirrored = [ROOT / PACKAGE / path.relative_to(ROOT / "tests" / "unit") for path in tested]

    # How the client works, and what concerns pools, jobs and users together.
    assert client - core == {"api", "transport", "waits", "sweep"}
    assert [
        str(path) for path in mirrored if not path.is_dir() and not path.with_suffix(".py").is_file()
    ] == []


def test_the_core_reads_no_clock_and_does_no_input_or_output() -> None:
    for module, path in MODULES.items():
        if part_of(module) != "core":
            continue
        attributes = {node.attr for node in nodes_of(path) if isinstance(node, ast.Attribute)}
        assert not attributes & {"now", "today", "utcnow"}, module
        assert not {name.split(".")[0] for name in imports(nodes_of(path))} & IMPURE, module


def test_parsing_a_dag_file_imports_nothing_heavy() -> None:
    parsed = [name for name in MODULES if part_of(name) in set().union(*LAYERS[1:5])]
    shells = [name for name in parsed if name != SFTP and not name.startswith(SERVED)]
    script = f"import sys, {', '.join(shells)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    ran = subprocess.run(warm_python("-c", script), capture_output=True, text=True, check=True, cwd=ROOT)

    assert shells
    assert set(ran.stdout.split()) & HEAVY == set()


def user_facing_texts() -> Iterator[tuple[str, str]]:
    """Yield what users read: README, docs, example Dags, and the docstrings of public modules."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        # These two are for maintainers.
        if path.name not in {"architecture.md", "contributing.md"}:
            yield path.name, path.read_text(encoding="utf-8")
    for path in EXAMPLES:
        yield path.name, path.read_text(encoding="utf-8")
    for module, path in MODULES.items():
        if is_public(module):
            documented = [
                node for node in nodes_of(path) if isinstance(node, ast.Module | ast.ClassDef | Function)
            ]
            yield module, "\n".join(ast.get_docstring(node) or "" for node in documented)


def test_users_are_shown_only_public_modules() -> None:
    private = [
        f"{place}: {name}"
        for place, text in user_facing_texts()
        for name in re.findall(rf"{PACKAGE}(?:\.[a-z_]+)+", text)
        if not any(is_public(known) for known in (name, name.rpartition(".")[0]) if known in MODULES)
    ]
    folders = [place for place, text in user_facing_texts() if re.search(r"`(?:core|client)[./]", text)]

    assert private == []
    assert folders == []
    assert all(
        "private" in (ast.get_docstring(tree_of(MODULES[f"{PACKAGE}.{part}"])) or "").lower()
        for part in ("core", "client")
    )


def test_each_module_says_what_it_is_for() -> None:
    assert [name for name, path in MODULES.items() if not ast.get_docstring(tree_of(path))] == []


def test_public_modules_list_what_they_offer() -> None:
    for name in filter(is_public, MODULES):
        module = import_module(name)
        listed: list[str] = getattr(module, "__all__", [])
        own = [value for value in vars(module).values() if getattr(value, "__module__", None) == name]
        made = {value.__name__ for value in own if isclass(value) or isfunction(value)}
        assert {public for public in made if not public.startswith("_")} <= set(listed), name
        assert [offered for offered in listed if not hasattr(module, offered)] == [], name


def test_private_modules_have_no_list_of_names() -> None:
    private = [name for name in MODULES if not is_public(name)]
    names = {name: {getattr(node, "id", "") for node in nodes_of(MODULES[name])} for name in private}

    assert [name for name, used in names.items() if "__all__" in used] == []


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: Function) -> int:
    return len([*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs])


def test_files_have_at_most_600_lines_and_folders_few_files() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in [*SOURCES, *TESTS, *EXAMPLES]}
    most = {**dict.fromkeys(SOURCES, 15), **dict.fromkeys(TESTS, 20)}  # those have fixtures and helpers, too
    files = Counter((path.parent, most[path]) for path in most if path.name != "__init__.py")

    assert {str(path): length for path, length in lengths.items() if length > 600} == {}
    assert {str(folder): count for (folder, limit), count in files.items() if count > limit} == {}


def test_functions_have_at_most_50_lines_and_most_of_them_fewer_than_10() -> None:
    found = functions([*SOURCES, *TESTS, *EXAMPLES])

    assert [place(path, node) for path, node in found if lines_of(node) > 50] == []
    assert median(lines_of(node) for _, node in functions(SOURCES)) < 10


def test_only_operators_and_sensors_take_more_than_12_parameters() -> None:
    many = [
        place(path, node)
        for path, node in functions(SOURCES)
        if parameters_of(node) > 12
        and not (node.name == "__init__" and part_of(name_of(path)) in {"operators", "sensors"})
    ]

    assert many == []


# The share of private functions that only one line of their file calls. A reader hops to each of them.
CALLED_ONCE = 0.58


def test_few_private_functions_are_called_only_once() -> None:
    calls: Counter[tuple[Path, str]] = Counter()
    for path in SOURCES:
        loaded = [node for node in nodes_of(path) if isinstance(getattr(node, "ctx", None), ast.Load)]
        calls.update((path, node.id) for node in loaded if isinstance(node, ast.Name))
        calls.update((path, node.attr) for node in loaded if isinstance(node, ast.Attribute))
    private = {
        (path, node.name)
        for path, node in functions(SOURCES)
        if node.name.startswith("_") and not node.name.startswith("__")
    }

    assert len([name for name in private if calls[name] == 1]) <= CALLED_ONCE * len(private)


def test_tests_do_not_sleep() -> None:
    # The demo, benchmarks, end-to-end tests and other clients wait for other processes, not for code of ours.
    tests = [path for path in TESTS if not {"demo", "bench", "e2e", "clients"} & set(path.parts)]
    calls = [(path, node) for path in tests for node in nodes_of(path) if isinstance(node, ast.Call)]
    sleeps = [
        (path, call)
        for path, call in calls
        if ast.unparse(call.func) in {"time.sleep", "asyncio.sleep", "sleep"}
    ]

    assert [place(path, call) for path, call in sleeps if ast.unparse(call) != "asyncio.sleep(0)"] == []


def test_at_most_one_test_in_20_uses_a_mock() -> None:
    tests = [node for _, node in functions(TESTS) if node.name.startswith("test_")]
    named = [node.id for path in TESTS for node in nodes_of(path) if isinstance(node, ast.Name)]

    assert 20 * len([name for name in named if name in MOCKS]) <= len(tests)


def test_no_file_names_the_machine_it_was_written_on() -> None:
    here = [f"{folder}/" for folder in (ROOT, Path.home()) if folder != Path(folder.anchor)]

    assert [name for name, text in tracked_texts() if any(path in text for path in here)] == []


def test_nothing_that_installs_names_a_package_index() -> None:
    names = {"Makefile", "pyproject.toml", ".ci/run", ".pre-commit-config.yaml", "requirements.lock"}
    installs = {name: text for name, text in tracked_texts() if name in names or name.endswith(".lock")}

    assert names <= set(installs)
    # The links of the project are for readers.
    installs["pyproject.toml"] = re.sub(
        r"(?ms)^\[project\.urls\]\n.*?(?=^\[)", "", installs["pyproject.toml"]
    )
    assert [name for name, text in installs.items() if "://" in text or "--index" in text] == []
