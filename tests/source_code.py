"""The project's own source as data, for the tests of its structure and language. Runs none of it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_batchlinux"
SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXAMPLES = sorted((ROOT / "example_dags").rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return every node of a file's syntax tree."""
    return list(ast.walk(tree_of(path)))


def name_of(path: Path) -> str:
    """Return the module name of a source file; an ``__init__`` has the name of its package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """Return the top-level part of the package that a module belongs to, such as ``core``."""
    return module.split(".")[1] if "." in module else "__init__"


MODULES = {name_of(path): path for path in SOURCES}
# What Dag authors and their tests import. All other modules are private and may change in any release.
PUBLIC_PARTS = {
    "task_groups",
    "operators",
    "sensors",
    "triggers",
    "decorators",
    "links",
    "hooks",
    "specs",
    "exceptions",
}
PUBLIC_EMULATOR = {
    f"{PACKAGE}.emulator",
    f"{PACKAGE}.emulator.autoscale",
    f"{PACKAGE}.emulator.pytest_plugin",
}


def is_public(module: str) -> bool:
    """Return whether users may import a module of this package."""
    return module in PUBLIC_EMULATOR or (part_of(module) in PUBLIC_PARTS and "._" not in module)


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the name of each module that the import statements among the nodes load."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            inner = [f"{base}.{alias.name}" for alias in node.names]
            yield from [name for name in inner if name in MODULES] or [base]


def functions(paths: list[Path]) -> Iterator[tuple[Path, Function]]:
    """Yield every function in the files, nested ones included."""
    for path in paths:
        yield from ((path, node) for node in nodes_of(path) if isinstance(node, Function))


def place(path: Path, node: ast.expr | Function) -> str:
    """Return ``file:line`` of a node."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT)
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")
