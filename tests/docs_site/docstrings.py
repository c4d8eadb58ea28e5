"""What is public, and what its docstrings say of it."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module

from tests.source_code import PACKAGE, ROOT, part_of

__all__ = ["description", "documented", "ours", "parameters", "public_classes"]

HOME = ROOT / PACKAGE
_FIELD = re.compile(r"^:(?=param|raises|return|cvar)", re.MULTILINE)


def public_classes(*parts: str) -> list[type]:
    """Return the classes that the public modules of some parts of the package list."""
    names = [name for _, name, _ in pkgutil.walk_packages([str(HOME)], f"{PACKAGE}.")]
    modules = [import_module(name) for name in names if part_of(name) in parts and "._" not in name]
    listed = [getattr(module, name) for module in modules for name in getattr(module, "__all__", [])]
    return [value for value in listed if inspect.isclass(value)]


def ours(cls: type) -> list[type]:
    """Return the class and those of its bases that are in this package."""
    return [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE)]


def description(text: str | None) -> str:
    """Return what a docstring says before its parameters."""
    return _FIELD.split(inspect.cleandoc(text or ""))[0].rstrip()


def documented(text: str | None) -> dict[str, str]:
    """Return each parameter that a docstring describes, with what it says."""
    entries = _FIELD.split(inspect.cleandoc(text or ""))[1:]
    named = [entry.removeprefix("param ").partition(":") for entry in entries if entry.startswith("param ")]
    assert len({name for name, _, _ in named}) == len(named), f"Documented twice: {named}"
    return {name: said for name, _, said in named}


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters that a class of ours and its bases of ours spell out, its own first."""
    own = [base for base in ours(cls) if "__init__" in vars(base)]
    found: dict[str, inspect.Parameter] = {}
    for base in own:
        for name, parameter in inspect.signature(base).parameters.items():
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(name, parameter)
    return found
