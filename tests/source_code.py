"""The project's own source as data, for the tests that hold its rules; runs none of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def name_of(path: Path) -> str:
    """Give a source's module name: that of the folder for its ``__init__``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """Give the part of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def functions(paths: list[Path]) -> Iterator[tuple[Path, Function]]:
    """Give every function of some files, inner ones too."""
    for path in paths:
        yield from ((path, node) for node in ast.walk(tree_of(path)) if isinstance(node, Function))


def place(path: Path, node: ast.expr | Function) -> str:
    """Say where a part of a file is."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"
