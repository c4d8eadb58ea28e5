"""The source of a function, as it is sent to a node."""

from __future__ import annotations

import ast
import builtins
import dis
from collections.abc import Collection, Iterator
from types import CodeType

_MODULE_NAMES = {*vars(builtins), "__name__", "__annotations__"}
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_FUTURE = "from __future__ import annotations\n\n"


def standalone_source(text: str) -> str:
    """
    Return the source of a function without its decorators, as a module of its own.

    Annotations are not evaluated: their types are rarely on the node.

    :param text: the source as it is in the Dag file, with decorators.
    :raises ValueError: it is not that of one function, such as a lambda.
    """
    # A function in a block stays in one: text in it that spans lines, and comments, keep their indentation.
    block = "if True:\n" if text[:1].isspace() else ""
    try:
        found = ast.parse(block + text).body
    except SyntaxError:  # such as a lambda, whose source is a part of a line
        found = []
    if found and isinstance(found[0], ast.If):
        found = found[0].body
    nodes = [node for node in found if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if len(nodes) != 1:
        msg = "is not defined by def, so its source cannot be sent"
        raise ValueError(msg)
    [node] = nodes
    # Only these are lines to Python: splitlines() also ends them at other characters, such as a form feed.
    lines = (block + text).split("\n")[node.lineno - 1 : node.end_lineno]
    return _FUTURE + block + "\n".join(lines) + "\n"


def undefined_names(source: str, dag_file: Collection[str] = ()) -> list[str]:
    """
    Return the names that a function uses and that only its Dag file defines, in alphabetical order.

    :param source: what :func:`standalone_source` returns.
    :param dag_file: the names that the function sees in its Dag file. They hide those of Python.
    """
    used: set[str] = set()
    defined = _MODULE_NAMES - {name for name in dag_file if not name.startswith("__")}
    for code in _codes(compile(source, "function", "exec")):
        found = [(item.opname, str(item.argval)) for item in dis.get_instructions(code)]
        local = {name for operation, name in found if operation == "STORE_NAME"}
        # A class body has names of its own; what the module itself stores is global.
        defined |= local if code.co_name == "<module>" else set()
        defined |= {name for operation, name in found if operation == "STORE_GLOBAL"}
        used |= {name for operation, name in found if operation in _LOADS} - local
    return sorted(used - defined)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
