"""The order of the folders of the embedded service: imports point downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_batchlinux import emulator

_NAME = emulator.__name__
_ROOT = Path(emulator.__file__).parent

# From the bottom to the top: a folder or module imports only itself and what is listed before it.
EMULATOR_LAYERS = (
    "extra",
    "connection",
    "protocol",  # the REST API: requests, answers, errors, filters
    "simulation",  # options, time, faults
    "state",  # records and what is kept on disk
    "identity",  # the local Entra tenant
    "blobs",  # the blob store, which takes the tenant's tokens
    "autoscale",  # the formula language
    "rules",  # what the service refuses in a description, and the defaults it adds
    "nodes",
    "pools",
    "jobs",
    "account",  # the service and what outlives its reset
    "handlers",  # one function for each operation
    "http",
    "management",  # Azure Resource Manager
    "control_client",
    "coverage",
    "server",
    "first_steps",  # what a person is told at the start
    "",  # the package itself: its names are imported when they are first used
    "__main__",
    "pytest_plugin",
)


def _modules() -> dict[str, Path]:
    found = {}
    for path in _ROOT.rglob("*.py"):
        parts = [part for part in path.relative_to(_ROOT).with_suffix("").parts if part != "__init__"]
        found[".".join(parts)] = path
    return found


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_NAME):
            base = (node.module or "").removeprefix(_NAME).removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                yield inner if inner in modules else base
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith(_NAME)]
            yield from (name.removeprefix(_NAME).removeprefix(".") for name in names)


def _layer(module: str) -> int:
    return EMULATOR_LAYERS.index(module.partition(".")[0])


def test_every_folder_and_module_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in _modules()} == set(EMULATOR_LAYERS)


def test_imports_point_downwards() -> None:
    modules = _modules()
    upwards = [
        f"{module} imports {target}"
        for module, path in modules.items()
        for target in _imported(path, modules)
        if _layer(target) > _layer(module)
    ]
    assert upwards == []


def test_modules_of_a_folder_do_not_import_each_other_in_a_circle() -> None:
    modules = _modules()
    left = {module: set(_imported(path, modules)) - {module} for module, path in modules.items()}
    while leaves := [module for module, targets in left.items() if not targets & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    assert left == {}


def test_folders_and_files_are_of_a_size_to_read() -> None:
    modules = _modules()
    folders = {path.parent for path in modules.values()}
    assert {folder.name: len(list(folder.glob("*.py"))) for folder in folders if _is_crowded(folder)} == {}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules.items()}
    assert {name: length for name, length in lengths.items() if length > 600} == {}


def _is_crowded(folder: Path) -> bool:
    return len(list(folder.glob("*.py"))) > 15
