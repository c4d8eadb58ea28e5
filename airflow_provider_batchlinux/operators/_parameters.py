"""What operators and sensors do with their parameters: render all, hide the secrets, read a typed request."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk import Asset
from airflow.sdk.definitions._internal.expandinput import (
    DictOfListsExpandInput,
    ListOfDictsExpandInput,
    MappedArgument,
)
from airflow.sdk.definitions._internal.mixins import ResolveMixin
from airflow.sdk.definitions.mappedoperator import OperatorPartial
from airflow.sdk.definitions.xcom_arg import XComArg

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import DAG, Context
    from airflow.sdk.definitions._internal.expandinput import ExpandInput
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    from airflow_provider_batchlinux.core.parameters.requests import OperatorRequest
    from airflow_provider_batchlinux.core.tasks.spec.job import Command
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

    R = TypeVar("R", bound=OperatorRequest)
else:
    R = TypeVar("R")

_PACKAGE = __name__.partition(".")[0]

ASSETS_OF = {"inlets": "inputs", "outlets": "outputs"}
"""The parameters of Airflow for Assets, and those with data among which they may be."""

COMMAND_RENDERERS = {
    "command": "bash",
    **dict.fromkeys(("environment", "files", "secret_environment", "secret_files"), "json"),
    **dict.fromkeys(("inputs", "outputs", "exit_codes", "container", "run_as"), "json"),
}
"""How Airflow's page shows the parameters of a command."""

MAY_HOLD_SECRETS = frozenset(
    [
        "body",
        "container",
        "containers",
        "inputs",
        "manager",
        "outputs",
        "password",
        "preparation",
        "release",
        "results_to",
        "secret_environment",
        "secret_files",
        "secret_storage",
        "software",
        "start_task",
        "start_task_environment",
        "storage",
        "tasks",
        "user_accounts",
    ]
)
"""The parameters that can hold a secret. The readers know it too, but a Dag file is not to import them."""

_TEMPLATE = re.compile(r"(\s|\{\{((?!\}\}).)*\}\}|\{%((?!%\}).)*%\}|\{#((?!#\}).)*#\})+", re.DOTALL)
"""Text of nothing but templates. A secret may stand before or after one."""


@dataclass(frozen=True)
class Concealed(ResolveMixin):
    """
    A value with a secret that a Dag file has in clear, not as a template.

    Airflow stores the parameters of operators when it has parsed a file, and takes what :meth:`serialize`
    returns. The value itself is in the file, where a worker finds it.

    :param value: the value.
    :param shown: the value with each secret replaced.
    """

    value: Any = field(repr=False)
    shown: object

    def serialize(self) -> object:
        """Return what Airflow stores."""
        return self.shown

    def iter_references(self) -> Iterable[tuple[Any, str]]:
        """Find the XComs that the task waits for."""
        return XComArg.iter_xcom_references(_without_specs(self.value))

    def resolve(self, context: Context) -> Any:  # noqa: ARG002  # the task renders it itself
        """Return the value."""
        return self.value

    def __str__(self) -> str:
        return str(self.shown)


class ParametersMixin(BaseOperator, Generic[R]):
    """
    Mix the handling of parameters into an operator or sensor.

    - Every parameter is a template field, except those that Airflow's own base class has.
    - The secrets in them are replaced before Airflow stores the rendered fields, for plain and mapped tasks.
    - :attr:`request` is what they make when the task runs, as a typed request.
    """

    _rendered: Mapping[str, object] = {}
    """The rendered values of the fields in which secrets are replaced."""

    _shown: Mapping[str, object] = {}
    """What stands in these fields instead. A field that holds something else was assigned since."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.partition(".")[0] == _PACKAGE:
            cls.template_fields = (*_fields_of_airflow(cls), *_parameters_of(cls))

    @classmethod
    def request_class(cls) -> type[R]:
        """Return the class of the request. It is imported here, so that a Dag file does not pay for it."""
        raise NotImplementedError

    @cached_property
    def request(self) -> R:
        """
        The request that the rendered parameters make.

        :raises ValueError: if they make none; all problems, one a line.
        """
        return self.read_request()

    def read_request(self) -> R:
        """Return the request that the parameters make at this moment, which is not remembered."""
        from airflow_provider_batchlinux.core.parameters.reader import read_request, readers_of

        cls = self.request_class()
        given = {name: revealed(getattr(self, name)) for name in readers_of(cls)}
        given |= {name: self._rendered[name] for name, shown in self._shown.items() if given[name] is shown}
        try:
            return read_request(cls, given)
        except ValueError as error:
            # All problems at once. A resumed task, which needs no files, had none with its parameters.
            problems = missing_files(given.get("files"))
            raise ValueError("\n".join([str(error), *problems])) from None

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Return the task without the parameters that :meth:`expand` gives, as Airflow does."""
        partial = super().partial(**cls.as_stored(kwargs))
        partial.__class__ = _Partial
        return partial

    @classmethod
    def as_stored(cls, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the parameters of a mapped task so that Airflow finds the XComs in them, and no secret.

        The Assets among its inputs and outputs are its inlets and outlets.

        :raises ValueError: if a value would be another one at each parse of the Dag file.
        """
        stored = dict(parameters)
        for name in stored.keys() & set(cls.template_fields):
            plain = _without_specs(stored[name])
            # It does not look inside spec objects, and the task would not wait for the XCom.
            if any(True for _ in XComArg.iter_xcom_references(plain)):
                stored[name] = plain
            stored[name] = cls._as_stored(name, stored[name])
        for name, data in ASSETS_OF.items():
            if assets := with_assets(stored.get(name), parameters.get(data)):
                stored[name] = assets
        return stored

    @classmethod
    def expanded_as_stored(cls, given: ExpandInput) -> ExpandInput:
        """
        Return what a mapped task is expanded over, so that Airflow stores no secret.

        :raises ValueError: if a parameter is expanded over a mapping.
        """

        def stored(name: str, value: Any) -> Any:
            return cls._as_stored(name, value) if name in cls.template_fields else value

        if isinstance(given, ListOfDictsExpandInput):
            if isinstance(given.value, ResolveMixin):
                return given
            items = [
                {name: stored(name, value) for name, value in item.items()}
                if isinstance(item, Mapping)
                else item
                for item in given.value
            ]
            return ListOfDictsExpandInput(items)
        for name, values in given.value.items():
            if isinstance(values, Mapping) and name in cls.template_fields:
                msg = (
                    f"Parameter {name} of a {cls.__name__} is expanded over a mapping, which gives each task "
                    "a pair of key and value. Give a list with one value for each task."
                )
                raise ValueError(msg)
        return DictOfListsExpandInput(
            {
                name: [stored(name, item) for item in values] if isinstance(values, Sequence) else values
                for name, values in given.value.items()
            }
        )

    @classmethod
    def _as_stored(cls, name: str, value: Any) -> Any:
        if _holds(value, lambda one: isinstance(one, Iterator)):
            msg = (
                f"Parameter {name} of a {cls.__name__} is or holds a generator. It differs at each parse, so "
                "that each parse would make a new version of the Dag. Give a list."
            )
            raise ValueError(msg)
        if name not in MAY_HOLD_SECRETS or _is_harmless(value):
            return value
        plain = _without_specs(value)
        if any(cls._shown_of(name, item) is not None for item in _of_task_group(plain)):
            msg = (
                f"Parameter {name} of a {cls.__name__} has a secret that its task group is expanded over. "
                "Airflow stores that with the Dag. Give a template, or what a task returns."
            )
            raise ValueError(msg)
        shown = cls._shown_of(name, plain)
        return value if shown is None else Concealed(value, shown)

    @classmethod
    def _shown_of(cls, name: str, plain: Any) -> object:
        """Return what Airflow stores of a value with a secret in clear; ``None`` of one without."""
        from airflow_provider_batchlinux.core.parameters.reader import readers_of

        reader = readers_of(cls.request_class()).get(name)
        shown = reader.hide(plain, set()) if reader is not None else plain
        return shown if _hides_clear_text(plain, shown) else None

    @classmethod
    def refuse_secrets_of_dag(cls, dag: DAG | None) -> None:
        """
        Raise ``ValueError`` if the ``default_args`` of a Dag have a secret in clear: Airflow stores them.

        They cannot be replaced, because operators of others take them, too.
        """
        given = dag.default_args if dag is not None else {}
        for name in MAY_HOLD_SECRETS.intersection(given, cls.template_fields):
            if not _is_harmless(given[name]) and cls._shown_of(name, _without_specs(given[name])) is not None:
                msg = (
                    f"default_args of a Dag has a secret in {name}, which Airflow stores with the Dag. "
                    "Give a template, or give the parameter to the tasks."
                )
                raise ValueError(msg)

    def _set_xcomargs_dependencies(self) -> None:
        # Private in Airflow; it is called once, when the Dag file has made the operator.
        self.refuse_secrets_of_dag(self.get_dag())
        for name in self.template_fields:
            self._set_xcomargs_dependency(name, getattr(self, name))

    def _set_xcomargs_dependency(self, field: str, newvalue: Any) -> None:
        # Private in Airflow, which also calls it when the file assigns to an attribute. It does not look for
        # XComs inside spec objects.
        super()._set_xcomargs_dependency(field, _without_specs(newvalue))
        if field in self.template_fields:
            object.__setattr__(self, field, self._as_stored(field, newvalue))

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        # Private in Airflow, but the one method that plain and mapped tasks share, from 3.1.0 on: a mapped
        # task does not call its operator's render_template_fields.
        if parent is not self:
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
            return
        # A callback renders once more. The values that are hidden by now are rendered already.
        names = [name for name in template_fields if name not in self._rendered]
        for name in names:
            self._render_field(name, context, jinja_env, seen_oids)
        self._hide_secrets(names)
        self._declare_assets()

    def _declare_assets(self) -> None:
        """
        Add the Assets in the rendered data to the task's inlets and outlets, from which Airflow makes events.

        A task whose data is computed, or given by ``expand()``, has others than the Dag file tells.
        """
        # The fields themselves show text in place of Assets when secrets are replaced.
        given = {**vars(self), **self._rendered}
        tasks = _without_specs(revealed(given.get("tasks")))
        commands = [item for item in tasks if isinstance(item, Mapping)] if isinstance(tasks, list) else []
        for name, data in ASSETS_OF.items():
            known = list(getattr(self, name))
            for part in (given, *commands):
                known = with_assets(known, part.get(data))
            setattr(self, name, known)

    def _render_field(
        self, name: str, context: Context, jinja_env: jinja2.Environment, seen_oids: set[int]
    ) -> None:
        value = getattr(self, name)
        plain = _without_specs(revealed(value))
        if id(value) in seen_oids:
            # From an XCom of a mapped task: not to be rendered, nor is what replaces it.
            seen_oids.add(id(plain))
        # A value that is rendered is not one of the Dag file: see _set_xcomargs_dependency.
        object.__setattr__(self, name, plain)
        # Not by Airflow's own loop over the fields: that of 3.1.0 keeps a template that renders to nothing,
        # and that of later releases logs a template that cannot be rendered, with the secrets in it.
        try:
            if callable(plain):
                rendered = plain(context=context, jinja_env=jinja_env)
            else:
                rendered = self.render_template(plain, context, jinja_env, seen_oids)
        except Exception:
            self.log.error("Parameter %s of task %r cannot be rendered.", name, self.task_id)  # noqa: TRY400
            raise
        is_own = name in _parameters_of(type(self))
        object.__setattr__(self, name, _with_text_keys(rendered) if is_own else rendered)

    def _hide_secrets(self, names: Iterable[str]) -> None:
        from airflow.sdk.log import mask_secret

        from airflow_provider_batchlinux.core.parameters.reader import readers_of

        secrets: set[str] = set()
        rendered = dict(self._rendered)
        for name, reader in readers_of(self.request_class()).items():
            if name in names and reader.is_secret:
                value = getattr(self, name)
                rendered[name] = list(value) if isinstance(value, Iterator) else value
                object.__setattr__(self, name, reader.hide(rendered[name], secrets))
        self._rendered = rendered
        self._shown = {name: getattr(self, name) for name in rendered}
        for secret in secrets:
            mask_secret(secret)


def _with_text_keys(value: Any) -> Any:
    """Return a value whose mappings have text as keys: Airflow 3.1 stores no others, and fails the task."""
    if type(value) is list:
        return [_with_text_keys(item) for item in value]
    if type(value) is dict:
        return {str(key) if type(key) is int else key: _with_text_keys(item) for key, item in value.items()}
    return value


class _Partial(OperatorPartial):
    """A task whose mapped parameters Airflow stores without the secrets that a Dag file has in clear."""

    __slots__ = ()  # so that an object of Airflow's own class can become one

    def _expand(self, expand_input: ExpandInput, *, strict: bool) -> MappedOperator:
        # Private in Airflow, but the one method that expand() and expand_kwargs() share.
        operator: Any = self.operator_class  # one of ours: only they make this class
        self._expand_called = True  # a refusal is not followed by the warning that it was not mapped
        operator.refuse_secrets_of_dag(self.kwargs["dag"])
        return super()._expand(operator.expanded_as_stored(expand_input), strict=strict)


def _fields_of_airflow(cls: type) -> Iterator[str]:
    """Yield the template fields of an operator's bases in Airflow, such as the arguments of a function."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] != _PACKAGE:
            yield from vars(base).get("template_fields", ())


@cache
def _parameters_of(cls: type) -> Sequence[str]:
    """Return the names of an operator's parameters, those of its bases first."""
    own = [base for base in reversed(cls.__mro__) if base.__module__.partition(".")[0] == _PACKAGE]
    airflow = next(base for base in cls.__mro__ if issubclass(base, BaseOperator) and base not in own)
    of_airflow = inspect.signature(airflow.__init__).parameters
    names: dict[str, None] = {}
    for base in own:
        if "__init__" in vars(base):
            signature = inspect.signature(vars(base)["__init__"]).parameters.values()
            names.update((item.name, None) for item in signature if item.kind is item.KEYWORD_ONLY)
    return tuple(name for name in names if name not in of_airflow)


def revealed(value: Any) -> Any:
    """Return a value that the Dag file gave, also if Airflow is to store it without its secrets."""
    return value.value if isinstance(value, Concealed) else value


def _hides_clear_text(plain: object, shown: object) -> bool:
    """Return whether something that is no template was replaced in what is shown of a value."""
    from airflow_provider_batchlinux.core.secrets import HIDDEN

    if isinstance(plain, Mapping) and isinstance(shown, Mapping):
        return any(_hides_clear_text(item, shown.get(key)) for key, item in plain.items())
    if isinstance(plain, (list, tuple)) and isinstance(shown, list):
        return any(map(_hides_clear_text, plain, shown))
    return HIDDEN in str(shown) and not isinstance(plain, ResolveMixin) and not _is_template(str(plain))


def _of_task_group(value: Any) -> Iterator[Any]:
    """Yield a value as each task has it whose task group is expanded over values of the Dag file."""
    for at in count():
        found: list[Any] = []

        def given(item: Any, at: int = at, found: list[Any] = found) -> Any:
            if isinstance(item, (list, tuple)):
                return [given(part) for part in item]
            if isinstance(item, dict):
                return {key: given(part) for key, part in item.items()}
            if not isinstance(item, MappedArgument):
                return item
            literals = _literals(item)[at:]
            found.extend(literals[:1])
            return literals[0] if literals else item

        replaced = given(value)
        if not found:
            return
        yield replaced


def _literals(argument: MappedArgument) -> list[Any]:
    """Return the values of a Dag file that an argument of a mapped task group takes."""
    key, over = argument._key, argument._input.value  # private in Airflow
    if isinstance(over, dict):
        values: Any = over[key]
        if isinstance(values, dict):
            values = values.items()
    elif isinstance(over, ResolveMixin):
        values = over
    else:
        values = [item[key] for item in over if isinstance(item, Mapping) and key in item]
    return [] if isinstance(values, ResolveMixin) else list(values)


def _is_template(text: str) -> bool:
    return _TEMPLATE.fullmatch(text) is not None


def _is_harmless(value: Any) -> bool:
    """Return whether a value has no secret in clear, without the readers."""
    if isinstance(value, str):
        return _is_template(value)
    # No secret is an instant.
    harmless = (bool, date, ResolveMixin)
    return (
        value is None
        or callable(value)
        or (isinstance(value, harmless) and not isinstance(value, MappedArgument))
    )


def _holds(value: Any, is_one: Callable[[Any], bool]) -> bool:
    """Return whether a value, or one inside its lists and mappings, passes a test."""
    if isinstance(value, (list, tuple)):
        return any(_holds(item, is_one) for item in value)
    if isinstance(value, dict):
        return any(_holds(item, is_one) for item in value.values())
    return is_one(value)


def _is_spec(value: Any) -> bool:
    # Told by the package, so that a Dag file without spec objects does not import their base.
    return type(value).__module__.partition(".")[0] == _PACKAGE and hasattr(value, "to_dict")


def _without_specs(value: Any) -> Any:
    """
    Return plain values in place of spec objects, so that Airflow renders the templates in them.

    The same for members of enums: Jinja makes ``State.IDLE`` of one that is also text.
    """
    if not _holds(value, lambda one: _is_spec(one) or isinstance(one, Enum)):
        return value
    from airflow_provider_batchlinux.core.parameters.spec import plain_spec

    return plain_spec(value)


def assets_in(data: object) -> list[Asset]:
    """Return the Assets that a Dag file gives as inputs, or as outputs of a success."""
    plain = _without_specs(revealed(data))
    values = plain.values() if isinstance(plain, Mapping) else ()
    found = []
    for value in values:
        parts = value if isinstance(value, Mapping) else {"source": value}
        if parts.get("upload_on", "success") != "failure":
            found.append(parts.get("source", parts.get("destination")))
    return [value for value in found if isinstance(value, Asset)]


def with_assets(given: object, data: object) -> list[Any]:
    """Return the inlets or outlets of a task with the Assets among its data, each once."""
    named = list(given) if isinstance(given, (list, tuple)) else [given] if given else []
    return [*named, *(asset for asset in assets_in(data) if asset not in named)]


def missing_files(files: object) -> list[str]:
    """List the files to send that are not on this worker."""
    from airflow_provider_batchlinux.core.parameters.kinds import decoded

    found = decoded(files)
    paths = found.values() if isinstance(found, Mapping) else ()
    missing = [str(path) for path in paths if not Path(str(path)).is_file()]
    return [f"files names {path!r}, which is not a file on this worker." for path in missing]


def packed_files(files: Mapping[str, str]) -> str | None:
    """Return files of this worker, packed to be sent with a command; ``None`` if there are none."""
    from airflow_provider_batchlinux.core.tasks.spec.files import pack_files

    if not files:
        return None
    if problems := missing_files(files):
        raise ValueError("\n".join(problems))
    return pack_files({name: Path(path).read_bytes() for name, path in files.items()})


def packed_commands(tasks: Mapping[str, TaskSpec]) -> dict[str, Command]:
    """Return commands with their files; those that have the same files share them."""
    from airflow_provider_batchlinux.core.tasks.spec.job import Command

    packed: dict[tuple[tuple[str, str], ...], str | None] = {}
    for task in tasks.values():
        key = tuple(sorted(task.files.items()))
        if key not in packed:
            packed[key] = packed_files(task.files)
    return {name: Command(task, packed[tuple(sorted(task.files.items()))]) for name, task in tasks.items()}


def list_in_file(parameter: str, place: str) -> list[Any]:
    """
    Return the list in a file on the worker or in storage, as JSON or as JSON lines.

    :param place: its path or URL.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        # Not in the encoding of the worker. Some programs begin a file with a mark of order.
        text = (ObjectStoragePath(place) if "://" in place else Path(place)).read_text(encoding="utf-8-sig")
    except Exception as error:  # of the file system that the URL names
        msg = f"{parameter} names the file {place!r}, which cannot be read: {error}"
        raise ValueError(msg) from error
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, list):
        return whole
    try:
        # A text in JSON may hold other ends of lines than this.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        msg = f"{parameter} names the file {place!r}, which is neither a JSON list nor JSON lines: {error}"
        raise ValueError(msg) from error
