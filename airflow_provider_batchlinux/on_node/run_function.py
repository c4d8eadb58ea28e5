"""
Call the function that a Dag has sent, and write what it returns.

It reads ``function.json`` and writes ``result.json``, both in its working directory. It must run with any
Python from 3.7 on and without other packages.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

VERSION = "{}.{}".format(*sys.version_info[:2])


def fail(*lines: str) -> NoReturn:
    """End with exit code 1 and a sentence as the end of stderr, which the Airflow task's error quotes."""
    sys.stdout.flush()
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(1)


def print_traceback(error: Exception) -> None:
    """Print the traceback of an exception without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)


def load(sent: dict[str, Any]) -> tuple[Callable[..., Any], Any, Any]:
    """Return the function with its arguments."""
    if sent["pickled"] is None:
        # Dataclasses and others look for the module of a class by its name.
        module = sys.modules.setdefault("__batch_linux__", ModuleType("__batch_linux__"))
        code = compile(sent["source"], sent["file"], "exec")
        # For the source lines in tracebacks.
        lines = sent["source"].splitlines(True)
        linecache.cache[sent["file"]] = (len(sent["source"]), None, lines, sent["file"])
        exec(code, vars(module))
        function: Any = getattr(module, sent["name"])
        return function, sent["args"], sent["kwargs"]
    import base64
    import pickle

    if sent["python"] != VERSION:
        fail(
            "Python {} of this node cannot read what cloudpickle wrote with Python {} of the worker. Set "
            "`python` to the same version, or use serializer='json'.".format(VERSION, sent["python"])
        )
    function, args, kwargs = pickle.loads(base64.b64decode(sent["pickled"]))
    return function, args, kwargs


def call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return what the function returns; a coroutine function is run to its end."""
    value = function(*args, **kwargs)
    if hasattr(value, "__await__"):
        import asyncio

        async def awaited() -> Any:
            return await value

        value = asyncio.run(awaited())
    return value


def encode(value: Any, sent: dict[str, Any]) -> str:
    """Return the text of the result file."""
    if sent["pickled"] is None:
        text = json.dumps({"version": 2, "value": value}, allow_nan=False)
        # JSON would make text of other keys, and two of them may become one.
        inside = [value]
        for item in inside:
            if isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        msg = f"a key of a dict is of type {type(key).__name__}, not text"
                        raise TypeError(msg)
                inside.extend(item.values())
            elif isinstance(item, (list, tuple)):
                inside.extend(item)
        return text
    import base64

    import cloudpickle

    return json.dumps({"version": 2, "pickled": base64.b64encode(cloudpickle.dumps(value)).decode()})


def main() -> None:
    """Call the function."""
    with open("function.json") as file:
        sent = json.load(file)
    # The function may change the working directory.
    result_file = os.path.abspath("result.json")
    where = "This node has Python {}, the Airflow worker {}.".format(VERSION, sent["python"])
    if sent["expect_airflow"]:
        try:
            import airflow  # noqa: F401
        except ImportError as error:
            fail(f"expect_airflow=True, but Airflow cannot be imported on this node: {error}. {where}")
    try:
        function, args, kwargs = load(sent)
    except SyntaxError:
        traceback.print_exc(limit=0)
        fail(f"The function does not compile on this node. {where} Set `python` to a newer interpreter.")
    try:
        value = call(function, args, kwargs)
    except SystemExit as error:
        # The system keeps the lowest byte of an exit code.
        if error.code is None or (isinstance(error.code, int) and error.code % 256 == 0):
            fail("The function called sys.exit() with success before it returned. Use return instead.")
        raise
    except ImportError as error:
        traceback.print_exc()
        fail(f"{error} on this node. List its package in `requirements`. {where}")
    except Exception as error:
        print_traceback(error)
        sys.exit(1)
    try:
        text = encode(value, sent)
    except (TypeError, ValueError, RecursionError) as error:
        fail(
            f"The function returned {type(value).__name__}, which cannot be sent back as JSON: {error}. "
            + "Return text, numbers, lists and dicts, or use serializer='cloudpickle'."
        )
    with open(result_file, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
