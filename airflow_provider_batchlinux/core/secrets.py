"""Secrets inside plain values: marked for Airflow to mask, found, taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

SECRET_KEY = "secret_value"
"""The key of the one-entry dict that holds a secret: Airflow masks the value of a key with this word."""

_SHORTEST = 4
# Variables may hold secrets, so they are hidden where they stand; but most hold ordinary words, which must
# not be masked wherever they occur.
_ORDINARY = ("environment", "environmentSettings")


def hidden_value(value: Any) -> Any:
    """Mark a secret, so that Airflow masks it wherever it shows the dict that holds it."""
    return value if value is None or _is_hidden(value) else {SECRET_KEY: value}


def revealed(value: Any) -> Any:
    """Give plain values with the marks of secrets taken off again."""
    if _is_hidden(value):
        return revealed(value[SECRET_KEY])
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, (list, tuple)) else value


def secrets_in(value: Any) -> set[str]:
    """Collect the texts that are marked as secrets, except environment variables."""
    return set(_marked(value, inside=False))


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Replace each secret of four characters and more in a text by ``***``, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "***")
    return text


def hide_in_error(error: BaseException, secrets: Collection[str]) -> None:
    """
    Take secrets out of an error's text; where there were any, out of what it came from too.

    :param error: the error, which is changed.
    :param secrets: what must not be told.
    """
    texts = [str(part) for part in (error, error.__cause__, error.__context__) if part is not None]
    if texts == [without_secrets(text, secrets) for text in texts]:
        return
    error.args = tuple(without_secrets(arg, secrets) if isinstance(arg, str) else arg for arg in error.args)
    error.__cause__ = error.__context__ = None


def _marked(value: Any, *, inside: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _ORDINARY:
                yield from _marked(item, inside=inside or key == SECRET_KEY)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _marked(item, inside=inside)
    elif inside and isinstance(value, str):
        yield value
        # What follows the question mark of a URL is its SAS, which may be told without the rest.
        yield from filter(None, (value.partition("?")[2],))


def _is_hidden(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {SECRET_KEY}
