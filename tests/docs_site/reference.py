"""All generated pages of the documentation site, from the code and the example Dags."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module

from tests.docs_site.classes import errors_page, module_page, specs_page
from tests.docs_site.docstrings import HOME, public_classes
from tests.docs_site.restructured_text import heading, indented, page
from tests.docs_site.settings import (
    command_line_page,
    configuration_page,
    connection_page,
    metrics_page,
    remedies,
    results_page,
)
from tests.source_code import EXAMPLES, PACKAGE, ROOT

__all__ = ["generated_pages"]

_PARTS = {
    "task_groups": "Task group",
    "operators": "Operators",
    "sensors": "Sensors",
    "decorators": "Decorators",
    "hooks": "Hooks",
    "triggers": "Triggers",
    "links": "Links",
}
"""The parts of the package whose public modules have a page each, with the title of their list."""


def generated_pages() -> dict[str, str]:
    """Return the text of each generated page by its name, such as ``reference/operators/pool.rst``."""
    settings = {
        "connection": connection_page(),
        "configuration": configuration_page(),
        "command-line": command_line_page(),
        "specs": specs_page(),
        "results": results_page(public_classes("operators", "sensors")),
        "errors": errors_page(remedies()),
        "metrics": metrics_page(),
    }
    modules = {part: dict(_module_pages(part)) for part in _PARTS}
    lists = [
        f"{heading(title, '-')}\n\n{_toctree(modules[part])}"
        for part, title in _PARTS.items()
        if modules[part]
    ]
    index = page("Reference", "Generated from the code.", *lists, heading("Settings and results", "-"),
                 _toctree(settings))  # fmt: skip
    pages = {
        "index": index,
        **settings,
        **{name: text for part in modules.values() for name, text in part.items()},
    }
    return {
        **{f"reference/{name}.rst": text for name, text in pages.items()},
        **{f"examples/{name}.rst": text for name, text in _examples()},
    }


def _module_pages(part: str) -> Iterator[tuple[str, str]]:
    for _, name, _ in pkgutil.iter_modules([str(HOME / part)]):
        module = import_module(f"{PACKAGE}.{part}.{name}")
        listed = [getattr(module, public, None) for public in getattr(module, "__all__", ())]
        if not name.startswith("_") and any(
            getattr(value, "__module__", "") == module.__name__ for value in listed
        ):
            yield f"{part}/{name}", module_page(module, f"{part}.{name}")


def _examples() -> Iterator[tuple[str, str]]:
    files = [path for path in EXAMPLES if path.parent == ROOT / "example_dags"]
    for path in files:
        text = path.read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(text)) or ""
        yield (
            path.stem,
            page(path.stem, said.replace("`", "``"), f".. code-block:: python\n\n{indented(text)}"),
        )
    yield "index", page("Example Dags", _toctree([path.stem for path in files]))


def _toctree(names: Iterable[str]) -> str:
    return ".. toctree::\n   :maxdepth: 1\n\n" + "\n".join(f"   {name}" for name in names)
