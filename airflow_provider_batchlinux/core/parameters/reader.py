"""
Read the rendered parameters of an operator into a typed request, or name all that is wrong with them.

Airflow hands an operator whatever Jinja, an XCom, ``expand()`` or native rendering makes of a parameter:
text for a number, a number for an id, ``None``, the text "None", a lazy sequence, a list as its ``repr``. A
request class declares the kind of each parameter as a type:

.. code-block:: python

    @dataclass(frozen=True)
    class RebootRequest(Request):
        pool_id: Id
        node_ids: tuple[ServiceId, ...] | None
        running_tasks: Literal["requeue", "terminate"]
        timeout: Seconds

- ``X | None``: ``None``, "None", "null" and empty text are ``None``; without ``| None`` they are refused.
- ``tuple[X, ...]``, in a spec class ``Sequence[X]``: a list, any other sequence or set, or a list written as
  text.
- ``Mapping[str, X]``: a mapping, or one written as text.
- ``Annotated[X | None, ALL_IF_NONE]``: a selection, which is everything if it is ``None``. "None", "null" and
  empty text, which a mistyped template renders to, are refused.
- ``Literal[...]``: one of the choices.
- a spec class: an object of it, or a mapping with its fields.
- ``object``: anything, as it is.
- ``Annotated[X, Kind(...)]``: what the kind reads.
- another union: the member that fits the form of the value (mapping, list or single value).

Pydantic was measured and is not used: its models take as long to create, what remains of it beside our kinds
is the walk over the types, and its errors quote values that may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from airflow_provider_batchlinux.core.parameters.kinds import Kind, decoded, is_nothing, native
from airflow_provider_batchlinux.core.parameters.spec import Spec, hidden_spec, read_part
from airflow_provider_batchlinux.core.secrets import hide_whole

R = TypeVar("R", bound="Request")
S = TypeVar("S", bound=Spec)

_READERS: dict[type, Mapping[str, Reader]] = {}
"""The readers of the classes so far: their types are evaluated once."""

_SHOWN = 80
"""Characters of a wrong value that a message quotes at most."""


@dataclass(frozen=True)
class Request:
    """The base of the requests: the parameters of an operator, each of the kind that its type declares."""

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        return []


class Reader(Protocol):
    """How the values of a parameter are read; made from its type."""

    @property
    def what(self) -> str:
        """What a value must be, for messages: ``a list``."""

    @property
    def is_secret(self) -> bool:
        """Whether values may hold secrets."""

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        """
        Return the value as the type declares it.

        :param name: the parameter as the user wrote it, such as ``node_ids[1]``.
        :param problems: takes what is wrong with the value.
        """

    def hide(self, value: object, secrets: set[str]) -> object:
        """
        Return what Airflow may store of a rendered value: each secret in it is replaced, however deep.

        What cannot be read in the place of a value with secrets is replaced as a whole.

        :param secrets: takes the texts of the secrets.
        """


def read_request(cls: type[R], given: Mapping[str, object], found: Sequence[str] = ()) -> R:
    """
    Return the request that an operator's rendered parameters make.

    :param given: the rendered value of each parameter.
    :param found: what the caller has found to be wrong with them.
    :raises ValueError: if values are not of their kinds, or do not go together; all problems, one a line.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    unread: list[str] = []
    for name, reader in readers_of(cls).items():
        wrong: list[str] = []
        values[name] = reader.read(name, given[name], wrong)
        if wrong:
            problems += wrong
            unread.append(name)
            values[name] = None
    request = cls(**values)
    # All problems together, except those that may follow from a parameter that could not be read.
    follows = re.compile(rf"\b({'|'.join(unread)})\b| is missing\.$") if unread else None
    problems += [problem for problem in request.problems() if follows is None or not follows.search(problem)]
    if problems := [*problems, *found]:
        raise ValueError("\n".join(problems))
    return request


def read_spec_object(cls: type[S], name: str, value: object) -> S:
    """
    Return a spec object with the values of its fields read.

    :param name: the parameter that has it, for messages.
    :param value: the object, or a mapping with its fields.
    :raises ValueError: if it is wrong; all problems, one a line.
    """
    problems: list[str] = []
    spec = _SpecReader(cls).read(name, value, problems)
    if problems or not isinstance(spec, cls):
        raise ValueError("\n".join(problems))
    return spec


def readers_of(cls: type[Request]) -> Mapping[str, Reader]:
    """Return the reader of each parameter of a request, by its name."""
    if cls not in _READERS:
        hints = get_type_hints(cls, include_extras=True)
        _READERS[cls] = {field.name: reader_of(hints[field.name]) for field in fields(cls)}
    return _READERS[cls]


def reader_of(declared: Any) -> Reader:
    """
    Return the reader for a type.

    :raises TypeError: if the type is none of those that the module's documentation lists.
    """
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        kind = next((item for item in arguments if isinstance(item, Kind)), None)
        if kind is not None:
            return _KindReader(kind)
        reader = reader_of(arguments[0])
        return replace(reader, takes_text=False) if isinstance(reader, _OptionalReader) else reader
    if origin in (Union, UnionType):
        members = tuple(reader_of(member) for member in arguments if member is not type(None))
        reader = members[0] if len(members) == 1 else _UnionReader(members)
        return _OptionalReader(reader) if type(None) in arguments else reader
    if origin is Literal:
        return _ChoiceReader(arguments)
    if origin in (tuple, Sequence):
        return _ListReader(reader_of(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _MappingReader(reader_of(arguments[1]))
    if isinstance(declared, type) and issubclass(declared, Spec):
        return _SpecReader(declared)
    if declared is object:
        return _AnyReader()
    msg = f"{declared!r} is not the type of a parameter."
    raise TypeError(msg)


@dataclass(frozen=True)
class _KindReader:
    kind: Kind[Any]

    @property
    def what(self) -> str:
        return self.kind.what

    @property
    def is_secret(self) -> bool:
        return self.kind.hide is not None

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        try:
            found = self.kind.read(native(value))
        except (TypeError, ValueError, OverflowError):  # a number of another library, or with too many digits
            found = None
        if found is None:
            problems.append(f"{_told(self, name, value)} is not {self.what}.")
        elif self.kind.problems is not None:
            problems += self.kind.problems(name, found)
        return found

    def hide(self, value: object, secrets: set[str]) -> object:
        return self.kind.hide(value, secrets) if self.kind.hide is not None else value


@dataclass(frozen=True)
class _OptionalReader:
    """
    The reader of what may be absent.

    :param takes_text: whether text for nothing is ``None``, too.
    """

    reader: Reader
    takes_text: bool = True

    @property
    def what(self) -> str:
        return self.reader.what

    @property
    def is_secret(self) -> bool:
        return self.reader.is_secret

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        return None if self._is_absent(value) else self.reader.read(name, value, problems)

    def hide(self, value: object, secrets: set[str]) -> object:
        return value if self._is_absent(value) else self.reader.hide(value, secrets)

    def _is_absent(self, value: object) -> bool:
        return value is None or (self.takes_text and is_nothing(value))


@dataclass(frozen=True)
class _UnionReader:
    """The readers of a union, each for another form of value."""

    readers: tuple[Reader, ...]

    @property
    def what(self) -> str:
        return " or ".join(reader.what for reader in self.readers)

    @property
    def is_secret(self) -> bool:
        return any(reader.is_secret for reader in self.readers)

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        value = decoded(value)
        reader = self._fitting(value)
        if reader is not None:
            return reader.read(name, value, problems)
        problems.append(f"{_told(self, name, value)} is not {self.what}.")
        return None

    def hide(self, value: object, secrets: set[str]) -> object:
        value = decoded(value)
        fitting = self._fitting(value)
        if fitting is not None:
            return fitting.hide(value, secrets)
        return hide_whole(value, secrets)

    def _fitting(self, value: object) -> Reader | None:
        if isinstance(value, (Spec, Mapping)):
            wanted: tuple[type, ...] = (_SpecReader, _MappingReader)
        else:
            # Not by its items, which an iterator has only once.
            is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
            wanted = (_ListReader,) if is_list else (_KindReader, _ChoiceReader)
        return next((reader for reader in self.readers if isinstance(reader, wanted)), None)


@dataclass(frozen=True)
class _ChoiceReader:
    choices: tuple[object, ...]

    @property
    def what(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"

    is_secret = False

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        plain = native(value)
        found = plain.strip() if isinstance(plain, str) else plain
        if isinstance(found, str) and found in self.choices:
            return found
        near = get_close_matches(_quoted(found).strip("'"), [str(choice) for choice in self.choices], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        problems.append(f"{name}={_quoted(value)} is not {self.what}{hint}")
        return None

    def hide(self, value: object, secrets: set[str]) -> object:  # noqa: ARG002  # it has no secrets
        return value


@dataclass(frozen=True)
class _ListReader:
    item: Reader

    what = "a list"

    @property
    def is_secret(self) -> bool:
        return self.item.is_secret

    def read(self, name: str, value: object, problems: list[str]) -> tuple[Any, ...] | None:
        items = _items(decoded(value))
        if items is None:
            # A text in place of a list would be read letter by letter.
            problems.append(f"{_told(self, name, value)} is not a list.")
            return None
        return tuple(self.item.read(f"{name}[{at}]", item, problems) for at, item in enumerate(items))

    def hide(self, value: object, secrets: set[str]) -> object:
        items = _items(decoded(value))
        if items is None:
            return self.item.hide(value, secrets)
        return [self.item.hide(item, secrets) for item in items]


@dataclass(frozen=True)
class _MappingReader:
    item: Reader

    what = "a mapping"

    @property
    def is_secret(self) -> bool:
        return self.item.is_secret

    def read(self, name: str, value: object, problems: list[str]) -> dict[str, Any] | None:
        found = decoded(value)
        if not isinstance(found, Mapping):
            problems.append(f"{_told(self, name, value)} is not a mapping.")
            return None
        return {str(key): self.item.read(f"{name}[{key!r}]", item, problems) for key, item in found.items()}

    def hide(self, value: object, secrets: set[str]) -> object:
        found = decoded(value)
        if isinstance(found, Mapping):
            return {key: self.item.hide(item, secrets) for key, item in found.items()}
        return self.item.hide(value, secrets)


@dataclass(frozen=True)
class _SpecReader:
    cls: type[Spec]

    @property
    def what(self) -> str:
        return f"{self.cls.__name__} or a mapping with its fields"

    is_secret = True

    def read(self, name: str, value: object, problems: list[str]) -> Any:
        wrong: list[str] = []
        spec = read_part((self.cls,), decoded(value), name, wrong)
        if not isinstance(spec, self.cls):
            problems += wrong or [f"{name} is not {self.what}."]
            return None
        problems += wrong
        read = {
            field: reader.read(f"{name}.{field}", getattr(spec, field), problems)
            for field, reader in _field_readers(self.cls).items()
        }
        for field in spec.PARTS:
            read[field] = _read_parts(f"{name}.{field}", getattr(spec, field), problems)
        return replace(spec, **read)

    def hide(self, value: object, secrets: set[str]) -> object:
        value = decoded(value)
        hidden = hidden_spec((self.cls,), value, secrets)
        given = value.to_dict() if isinstance(value, Spec) else value
        if isinstance(hidden, dict) and isinstance(given, Mapping):
            # A field may be shown in part, such as a URL without its query.
            readers = _field_readers(self.cls).items()
            secret = {name: reader for name, reader in readers if name in given and reader.is_secret}
            hidden |= {name: reader.hide(given[name], secrets) for name, reader in secret.items()}
        return hidden


@dataclass(frozen=True)
class _AnyReader:
    what = "a value"
    is_secret = False

    def read(self, name: str, value: object, problems: list[str]) -> object:  # noqa: ARG002
        return value

    def hide(self, value: object, secrets: set[str]) -> object:  # noqa: ARG002
        return value


def _read_parts(name: str, value: object, problems: list[str]) -> object:
    """Return the spec objects in a field of another one, with the values of their fields read."""
    if isinstance(value, Spec):
        return _SpecReader(type(value)).read(name, value, problems)
    if isinstance(value, tuple):
        return tuple(_read_parts(f"{name}[{at}]", item, problems) for at, item in enumerate(value))
    return value


def _field_readers(cls: type[Spec]) -> Mapping[str, Reader]:
    """Return the readers of the fields that declare a kind; the schema reads the others."""
    if cls not in _READERS:
        hints = get_type_hints(cls, include_extras=True)
        _READERS[cls] = {name: reader_of(hint) for name, hint in hints.items() if _declares_kind(hint)}
    return _READERS[cls]


def _declares_kind(hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _declares_kind(arguments[1])
    if origin is Sequence:
        return _declares_kind(arguments[0])
    is_kind = origin in (Annotated, Literal)
    return is_kind or (origin in (Union, UnionType) and any(map(_declares_kind, arguments)))


def _items(value: object) -> list[object] | None:
    """Return the items of a list, of another sequence such as Airflow's lazy ones, or of a set."""
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        return None
    try:
        # A set has another order in each process.
        return sorted(value, key=str) if isinstance(value, AbstractSet) else list(value)
    except TypeError:  # an array of numpy without dimensions
        return None


def _told(reader: Reader, name: str, value: object) -> str:
    """Return a parameter with its value, which is not quoted if it may hold a secret."""
    return f"The value of {name}" if reader.is_secret else f"{name}={_quoted(value)}"


def _quoted(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number with too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
