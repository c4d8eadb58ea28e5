"""Expand the parameters of a job into its commands: shared parts, items, ids, dependencies."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from airflow_provider_batchlinux.core.storage.locations import location_text
from airflow_provider_batchlinux.core.tasks.quoting import ARITHMETIC, ITEM, items_in
from airflow_provider_batchlinux.core.tasks.spec.data import InputSpec, OutputSpec
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL
from airflow_provider_batchlinux.core.tasks.spec.job import OWN_IDS
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_ILLEGAL_RUN = re.compile(r"[^A-Za-z0-9_]+")
_READABLE = 40
"""Characters of an item in the id of its task."""

_QUOTED = (
    "command has {0} {1}, where bash would not take it as one word: it is quoted already. Put it outside, "
    'as in "a/"{0}".csv", or give environment={{\'ITEM\': \'{0}\'}}, and read "$ITEM".'
)
_FIELDS = tuple(spec_field.name for spec_field in fields(TaskSpec))
LARGEST_TASK = 800_000
"""Bytes of a command and its environment. A request has room for 1 MiB, files and URLs included."""

_SHOWN = 5
"""Problems that a message names at most."""


def expanded(
    shared: TaskSpec,
    tasks: Sequence[TaskSpec | str] | None,
    items: Sequence[object] | None,
    *,
    ends_with_failure: bool = False,
) -> dict[str, TaskSpec]:
    """
    Return the commands of a job by the ids of their tasks.

    :param shared: the parts of all commands. ``{item}`` in its texts stands for an item, ``{item.name}`` for
        a value in one that is a mapping.
    :param tasks: the commands, with parts of their own; ``None`` if there are items.
    :param items: the values for each of which the shared command runs; ``None`` if there are tasks.
    :param ends_with_failure: whether the first command that fails ends the job.
    :raises ValueError: the commands are not valid; the first problems, one a line.
    """
    found: dict[str, TaskSpec] = {}
    filled = list(items_in(shared.command or "")) if items is not None else []
    problems = [_QUOTED.format(word, where) for _, word, where in filled if where not in ("", ARITHMETIC)]
    numeric = {start for start, _, where in filled if where == ARITHMETIC}
    places: dict[str, str] = {}
    given: Sequence[object] = items if items is not None else tasks or ()
    parameter = "items" if items is not None else "tasks"
    for position, one in enumerate(given):
        place = f"{parameter}[{position}]"
        try:
            task = _with_item(shared, one, numeric) if items is not None else _merged(shared, one)
            wrong = [*task.problems(), *task.exit_code_problems(), *_size_problems(task)]
        except ValueError as error:  # an item can make a location in storage invalid
            problems.append(f"{place}: {error}")
            continue
        task_id = task.id or _id_of(position, one if items is not None else None)
        problems += [f"{place}: {problem}" for problem in wrong]
        if (other := places.setdefault(task_id.lower(), place)) != place:
            problems.append(f"{place} and {other} have the same id {task_id!r}.")
        if task_id.lower() in OWN_IDS.values():
            problems.append(f"{place}: id {task_id!r} is reserved for a task of the job itself.")
        found[task_id] = task
    problems = problems or dependency_problems(found) or _zero_problems(found, ends=ends_with_failure)
    names = {task_id.lower(): task_id for task_id in found}
    for task_id, task in found.items():
        if any(other not in found for other in task.depends_on):
            # The service compares ids without case.
            waits = tuple(names.get(other.lower(), other) for other in task.depends_on)
            found[task_id] = replace(task, depends_on=waits)
    if problems:
        more = [f"{len(problems) - _SHOWN} more problems of this kind."] if len(problems) > _SHOWN else []
        raise ValueError("\n".join([*problems[:_SHOWN], *more]))
    return found


def dependency_problems(tasks: Mapping[str, TaskSpec]) -> list[str]:
    """List the commands that wait for one that does not exist, or for themselves."""
    names = {task_id.lower(): task_id for task_id in tasks}
    waits = {task_id: [other.lower() for other in task.depends_on] for task_id, task in tasks.items()}
    problems = [
        f"depends_on of {task_id!r} names {other!r}, but no command has this id."
        for task_id, task in tasks.items()
        for other in task.depends_on
        if other.lower() not in names
    ]
    if problems:
        return problems
    left = {task_id: {names[other] for other in others} for task_id, others in waits.items() if others}
    waiting: dict[str, list[str]] = {}
    for task_id, others in left.items():
        for other in others:
            waiting.setdefault(other, []).append(task_id)
    ready = [task_id for task_id in tasks if task_id not in left]
    while ready:
        for task_id in waiting.get(done := ready.pop(), ()):
            left[task_id].discard(done)
            if not left[task_id]:
                del left[task_id]
                ready.append(task_id)
    if not left:
        return []
    # Every command that is left waits for another one that is left: following them ends in a circle.
    path = [next(iter(left))]
    while path[-1] not in path[:-1]:
        path.append(next(iter(sorted(left[path[-1]]))))
    circle = path[path.index(path[-1]) :]
    return [f"depends_on makes a circle: {' waits for '.join(map(repr, circle))}."]


def _zero_problems(tasks: Mapping[str, TaskSpec], *, ends: bool) -> list[str]:
    """List the commands whose exit code 0 is to be a failure, where the service itself acts on exit codes."""
    waited_for = {other.lower() for task in tasks.values() for other in task.depends_on}
    return [
        f"exit_codes of {task_id!r} makes 0 a failure, but the service counts 0 as a success: it would "
        "run what depends on it, and not end the job. Let the command exit with another code."
        for task_id, task in tasks.items()
        if (task.exit_codes or {}).get(0, "success") not in ENDS_WELL
        and (ends or task_id.lower() in waited_for)
    ]


def _size_problems(task: TaskSpec) -> list[str]:
    parts = [task.command or "", *task.environment, *task.environment.values()]
    size = sum(len(str(part)) for part in parts)
    if size <= LARGEST_TASK:
        return []
    found = f"it has {size} bytes of command and environment; the service takes {LARGEST_TASK} with a task."
    return [f"{found} Send larger data as inputs."]


def _merged(shared: TaskSpec, own: object) -> TaskSpec:
    """Return a command with the shared parts, and its own instead or beside them."""
    if not isinstance(own, TaskSpec):
        return replace(shared, command=str(own))
    parts: dict[str, Any] = {}
    for name in _FIELDS:
        value, common = getattr(own, name), getattr(shared, name)
        if isinstance(value, Mapping) and isinstance(common, Mapping) and name != "exit_codes":
            parts[name] = {**common, **value} if value else common
        else:
            parts[name] = common if value is None or value == () else value
    return TaskSpec(**parts)


def _with_item(shared: TaskSpec, item: object, numeric: Collection[int]) -> TaskSpec:
    """
    Return the command for an item.

    :param numeric: the places in it that are part of arithmetic, whose text bash reads as an expression.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return _text_of(item)
        if not isinstance(item, Mapping) or name not in item:
            msg = f"it has no {name!r}, which {match[0]!r} names."
            raise ValueError(msg)
        return _text_of(item[name])

    def quoted(match: re.Match[str]) -> str:
        value = value_of(match)
        if match.start() in numeric and not _NUMBER.fullmatch(value):
            msg = f"it is not a number, and {match[0]!r} is part of arithmetic in command."
            raise ValueError(msg)
        return shlex.quote(value)

    def filled(text: object) -> str:
        return ITEM.sub(value_of, str(text))

    def source_of(value: Any) -> Any:
        if isinstance(value, InputSpec):
            return replace(value, source=filled(location_text(value.source)))
        if isinstance(value, OutputSpec):
            return replace(value, destination=filled(location_text(value.destination)))
        return filled(location_text(value))

    return replace(
        shared,
        # Quoted: an item is data, and bash must run nothing of it.
        command=ITEM.sub(quoted, str(shared.command)),
        environment={name: filled(value) for name, value in shared.environment.items()},
        inputs={filled(path): source_of(value) for path, value in shared.inputs.items()},
        outputs={filled(path): source_of(value) for path, value in shared.outputs.items()},
        result_file=filled(shared.result_file) if shared.result_file is not None else None,
    )


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _id_of(position: int, item: object) -> str:
    words = _ILLEGAL_RUN.sub("-", _text_of(item)).strip("-")[:_READABLE] if item is not None else ""
    return f"{position:05}-{words}" if words else f"{position:05}"
