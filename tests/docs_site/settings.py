"""The reference of what is not a class: connection, configuration, commands, metrics, XComs and events."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux import _metrics as metrics
from airflow_provider_batchlinux.cli import main as cli
from airflow_provider_batchlinux.client.transport import errors
from airflow_provider_batchlinux.core import events, service_errors
from airflow_provider_batchlinux.emulator import __main__ as emulator
from airflow_provider_batchlinux.get_provider_info import get_provider_info
from tests.docs_site.docstrings import description, documented
from tests.docs_site.restructured_text import (
    code,
    definitions,
    heading,
    indented,
    linked,
    listed,
    page,
    table,
)

__all__ = [
    "command_line_page",
    "command_line_parsers",
    "configuration_page",
    "connection_page",
    "metrics_page",
    "remedies",
    "results_page",
]

_RESULT = re.compile(r"^Results? in XCom.*?(?=^\.\. seealso::|\Z)", re.MULTILINE | re.DOTALL)


def connection_page() -> str:
    """Return the page of the connection: each field of its form."""
    [kind] = get_provider_info()["connection-types"]
    behaviour, fields = kind["ui-field-behaviour"], kind["conn-fields"]
    standard = {
        code(name): f"{label}: {behaviour['placeholders'].get(name, '')}."
        for name, label in behaviour["relabeling"].items()
    }
    return page(
        "Connection",
        f"The type is {code(kind['connection-type'])}, shown as *{kind['hook-name']}*. The fields of the "
        "extra are keys of a JSON object. A connection of type ``azure_batch`` works, too.",
        heading("Fields", "-"),
        definitions(standard),
        heading("Fields of the extra", "-"),
        definitions({code(name): _field(field) for name, field in fields.items()}),
    )


def _field(field: Mapping[str, Any]) -> str:
    schema = field["schema"]
    facts = [f"*Type:* {' or '.join(schema['type'])}."]
    if choices := [choice for choice in schema.get("enum", ()) if choice]:
        facts.append(f"*One of:* {', '.join(map(code, choices))}.")
    if schema.get("format") == "password":
        facts.append("*Secret.*")
    said = re.sub(r"(https://[\w.]+)", r"``\1``", field["description"])
    return f"**{field['label']}.** {said}\n\n{' '.join(facts)}"


def configuration_page() -> str:
    """Return the page of the options in Airflow's configuration."""
    parts: list[str] = []
    for section, said in get_provider_info()["config"].items():
        options = {
            code(name): f"{option['description'].strip()}\n\n*Type:* {option['type']}. "
            f"*Default:* {code(option['default'])}. *Example:* {code(option['example'])}. "
            f"*Environment:* {code(f'AIRFLOW__{section}__{name}'.upper())}."
            for name, option in said["options"].items()
        }
        parts += [heading(f"[{section}]", "-"), definitions(options)]
    return page("Configuration", "Options of Airflow's configuration file ``airflow.cfg``.", *parts)


def command_line_page() -> str:
    """Return the page of all commands, as their ``--help`` describes them."""
    parts = [part for parser in command_line_parsers() for part in _command(parser)]
    return page("Command line", *parts)


def command_line_parsers() -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of each command and subcommand."""
    served = argparse.ArgumentParser(prog="batchlinux-emulator", description=emulator._DESCRIPTION)
    for name, details in emulator._OPTIONS.items():
        served.add_argument(name, **details)
    waiting = [cli._parser(), served]
    while waiting:
        parser = waiting.pop(0)
        yield parser
        inner = [item for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
        waiting[:0] = dict.fromkeys(command for action in inner for command in action.choices.values())


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = parser.format_usage().removeprefix("usage: ").strip()
    yield heading(parser.prog, "~" if " " in parser.prog else "-")
    yield f".. code-block:: text\n\n{indented(usage)}"
    yield _escaped(parser.description or "")
    left_out = (argparse._SubParsersAction, argparse._HelpAction)
    shown = [action for action in parser._actions if not isinstance(action, left_out)]
    yield definitions({_option(action): _escaped(_help(action)) for action in shown})
    yield _escaped(parser.epilog or "")


def _option(action: argparse.Action) -> str:
    values = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices is not None and not action.metavar:
        values = "{" + ",".join(map(str, action.choices)) + "}"
    return code(f"{', '.join(action.option_strings)} {values}".strip())


def _help(action: argparse.Action) -> str:
    assert action.help, f"{action.dest} has no help."
    said = action.help % {"default": action.default, "prog": "batchlinux"}
    return said[:1].upper() + said[1:] + "."


def _escaped(text: str) -> str:
    return re.sub(r"([*`|\\]|_\b)", r"\\\1", text)


def metrics_page() -> str:
    """Return the page of the metrics."""
    names = {
        **{name: f"timing: seconds, {code(span)} of the timeline" for span, name in metrics.TIMINGS.items()},
        metrics.NODE_HOURS: "gauge: node-hours used until the nodes were ready",
        metrics.REPAIRS: "gauge: the repairs that the pool has had; only with ``repair``",
        metrics.FAILURES: "counter: tries of sensors that failed, with the tag ``kind``: "
        f"{_failure_kinds()}; ``error`` for any other",
        metrics.USED: "counter: what a pool has used in its life, sent once when it is deleted, with the "
        "tags ``dag_id`` of the Dag that created it, and ``kind``, ``dedicated`` or ``spot``",
        metrics.PREEMPTIONS: "counter: the preemptions of such a pool, as far as they were seen",
        metrics.COMMANDS: "counter: commands that have ended, with the tag ``outcome``: ``succeeded``, "
        "``failed``, ``skipped``, or in a job of many ``not_run``",
        metrics.COMMAND_TIME: "timing: seconds that a single command ran on its node, unless it failed",
        metrics.USERS: "counter: nodes that a user was added to or removed from, with the tag ``outcome``",
        metrics.USERS_OVERDUE: "gauge: users that an audit found after their expiry",
    }
    return page(
        "Metrics",
        "Workers send them to the backend that ``[metrics]`` in Airflow's configuration names, with the tags "
        "``dag_id`` and ``task_id`` unless said otherwise; those of a timeline also have ``pool_state``. "
        "A metric that cannot be sent never fails a task.",
        definitions({code(name): said for name, said in names.items()}),
    )


def _failure_kinds() -> str:
    by_kind: dict[str, list[str]] = {}
    for error, kind in metrics.FAILURE_KINDS.items():
        by_kind.setdefault(kind, []).append(code(error.__name__))
    return "; ".join(f"{code(kind)} for {' and '.join(names)}" for kind, names in by_kind.items())


def results_page(tasks: Iterable[type]) -> str:
    """
    Return the page of results in XCom, and of the events that resume deferred tasks.

    :param tasks: the operators and sensors.
    """
    results = [
        f"{heading(cls.__name__, '~')}\n\n:py:class:`{cls.__module__}.{cls.__name__}`\n\n{linked(said[0])}"
        for cls in tasks
        if (said := _RESULT.search(description(cls.__doc__) + "\n"))
    ]
    fields = documented(events.WaitEvent.__doc__)
    return page(
        "XCom and events",
        heading("Results in XCom", "-"),
        *results,
        heading("Events", "-"),
        f"The event with which a trigger resumes its task has version {events.VERSION} and these keys:",
        definitions({code(name): said.strip() for name, said in fields.items()}),
    )


def remedies() -> str:
    """Return what the provider advises for error codes of the service, as it does in its messages."""
    of_requests = [
        [code(name), code(errors._CLASSES[name].__name__ if name in errors._CLASSES else "BatchRequestError"),
         errors._REMEDIES.get(name, "")]
        for name in sorted({*errors._CLASSES, *errors._REMEDIES})
    ]  # fmt: skip
    of_resizes = [
        [code(name), f"{text[:1].upper()}{text[1:]}."] for name, text in service_errors._REMEDIES.items()
    ]
    return "\n\n".join(
        [
            "A refused request raises an error by its code; any other code is a ``BatchRequestError``.",
            table(["code", "error", "remedy"], of_requests),
            "A pool that does not get its nodes has resize errors, whose codes are compared without case:",
            table(["resize error", "remedy"], of_resizes),
            "No answer is a ``BatchUnreachableError``:",
            listed([errors._TRUST_IT, errors._SIGN_IN]),
        ]
    )
