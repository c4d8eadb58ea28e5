"""A call of a function as the files that are sent to a node, and the result that comes back."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.functions.pickles import digest_of_pickle

COMMAND = "bash function.sh"
CALL_FILE = "function.json"
RESULT_FILE = "result.json"

RESULT_VERSION = 2
"""The version of its content. The first one has none."""


@dataclass(frozen=True)
class FunctionCall:
    """
    A call of a function.

    :param name: the function's name.
    :param file: the Dag file, for tracebacks.
    :param source: the function's source; empty if it is pickled.
    :param args: the positional arguments.
    :param kwargs: the keyword arguments.
    :param pickled: the function with its arguments, by cloudpickle in Base64; ``None`` sends them as JSON.
    :param worker_python: the version of the worker's Python, such as ``3.12``.
    :param expect_airflow: whether Airflow has to be on the node.
    """

    name: str
    file: str
    source: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    pickled: str | None
    worker_python: str
    expect_airflow: bool

    def to_json(self) -> str:
        """
        Return the content of ``function.json``.

        :raises ValueError: an argument is nothing that JSON can hold.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        if self.pickled is None:
            args = [_plain(f"Argument {at}", value) for at, value in enumerate(self.args)]
            kwargs = {name: _plain(f"Argument {name}", value) for name, value in self.kwargs.items()}
        sent = {
            "name": self.name,
            "file": self.file,
            "source": self.source,
            "args": args,
            "kwargs": kwargs,
            "pickled": self.pickled,
            "python": self.worker_python,
            "expect_airflow": self.expect_airflow,
        }
        return json.dumps(sent)


def meaning_of(name: str, content: bytes) -> str:
    """Return a digest of a file of a call, which is the same in each process for the same call."""
    if name == CALL_FILE:
        call = json.loads(content)
        if call["pickled"] is not None:
            call["pickled"] = digest_of_pickle(base64.b64decode(call["pickled"]))
        content = json.dumps(call, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def returned_part(result: object, key: str) -> Any:
    """
    Return what a function returned, as the content of its result file says.

    :param result: the content, which any program on the node may have written.
    :param key: ``value``, or ``pickled`` if the function was sent by cloudpickle. What was sent as JSON is
        never unpickled: that executes what the node says.
    :raises ValueError: the content is not that of such a function.
    """
    # Earlier releases wrote no version.
    given = dict(result) if isinstance(result, dict) else {}
    version = given.pop("version", 1) if key in given else 1
    if isinstance(version, int) and version > RESULT_VERSION:
        msg = (
            f"{RESULT_FILE} of the function has version {version}, and this release of the provider reads "
            f"versions up to {RESULT_VERSION}. Update the provider, then clear the task."
        )
        raise ValueError(msg)
    if given.keys() == {key} and (key == "value" or type(given[key]) is str):
        return given[key]
    msg = f"{RESULT_FILE} of the function was replaced: it does not hold just {key!r}, as its call writes it."
    raise ValueError(msg)


def script(template: str, python: str, requirements: Sequence[str], container: str) -> str:
    """
    Return the shell script that calls the function.

    :param template: the content of ``run_function.sh``.
    :param python: the interpreter on the node.
    :param requirements: the lines of the requirements file.
    :param container: the image of the container, whose environments others cannot use; empty for none.
    """
    text = "\n".join([container, *requirements])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if requirements else ""
    return f"python={shlex.quote(python)}\nrequirements={digest}\n{template}"


def context_arguments(names: Sequence[str], context: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the values of parameters that have the name of a value of Airflow's context.

    :param names: the parameters.
    :param context: Airflow's context of the task.
    :raises ValueError: a value is an object of Airflow, which does not exist on a node.
    """
    found = {name: _plain_context(context[name]) for name in names if name in context}
    if wrong := [name for name, value in found.items() if value is NotImplemented]:
        msg = (
            f"The function takes {', '.join(wrong)} from Airflow's context, which cannot be sent to a node. "
            "Pass what it needs of it as an argument, such as a template."
        )
        raise ValueError(msg)
    return found


def _plain_context(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        value = dict(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return NotImplemented
    return value


def _keys(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _keys(item)


def _plain(name: str, value: Any) -> Any:
    """Return an argument in a form that JSON can hold; another sequence becomes a list."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, list, tuple)):
        value = list(value)
    flaw: object = None
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        flaw = error
    else:
        # JSON would make text of them, and the function would look for them in vain.
        if wrong := [type(key).__name__ for key in _keys(value) if not isinstance(key, str)]:
            flaw = f"a key of a dict is of type {wrong[0]}, not text"
    if flaw is not None:
        msg = (
            f"{name} of the function is of type {type(value).__name__}, which JSON cannot hold: {flaw}. "
            "Pass text, numbers, lists and dicts, or use serializer='cloudpickle'."
        )
        raise ValueError(msg)
    return value
