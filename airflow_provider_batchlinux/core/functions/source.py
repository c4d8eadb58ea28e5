"""The source of a function, as it is sent to a node."""

from __future__ import annotations

import ast
import builtins
import dis
import textwrap
from collections.abc import Iterator
from types import CodeType

_MODULE_NAMES = {*vars(builtins), "__name__"}
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_FUTURE = "from __future__ import annotations\n\n"


def standalone_source(text: str) -> str:
    """
    Return the source of a function without its decorators, as a module of its own.

    Annotations are not evaluated: their types are rarely on the node.

    :param text: the source as it is in the Dag file, with decorators.
    :raises ValueError: it is not that of one function, such as a lambda.
    """
    dedented = textwrap.dedent(text)
    try:
        found = ast.parse(dedented).body
    except SyntaxError:  # such as a lambda, whose source is a part of a line
        found = []
    nodes = [node for node in found if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if len(nodes) != 1:
        msg = "is not defined by def, so its source cannot be sent"
        raise ValueError(msg)
    [node] = nodes
    lines = dedented.splitlines()[node.lineno - 1 : node.end_lineno]
    return _FUTURE + "\n".join(lines) + "\n"


def undefined_names(source: str) -> list[str]:
    """
    Return the names that a function uses and that only its Dag file defines, in alphabetical order.

    :param source: what :func:`standalone_source` returns.
    """
    used: set[str] = set()
    defined = set(_MODULE_NAMES)
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
