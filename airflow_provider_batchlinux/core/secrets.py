"""Secrets inside plain values: replaced where Airflow stores them, removed from errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

HIDDEN = "***"
"""What Airflow stores in place of a secret."""

# Replacing shorter texts everywhere would garble ordinary words, and show what they are.
_SHORTEST = 4

_SIGNATURE = re.compile(r"(\bsig=)[^&\s\"'<>]+", re.IGNORECASE)


def hide_whole(value: object, secrets: set[str]) -> object:
    """
    Return a value with every text and number in it replaced by ``***``, and add the texts to the secrets.

    The value itself is replaced, not only known to Airflow's masker, which leaves text that lies deeper than
    five levels and text of fewer than five characters as it is.
    """
    if isinstance(value, Mapping):
        return {key: hide_whole(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_whole(item, secrets) for item in value]
    if value is None or (isinstance(value, str) and not value):
        return value
    if isinstance(value, bool):
        return HIDDEN
    text = str(value)
    # What follows the question mark of a URL is its SAS, which may occur without the rest.
    secrets.update(filter(None, (text, text.partition("?")[2])))
    return HIDDEN


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Replace each secret of four characters and more in a text by ``***``, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def without_signatures(text: str) -> str:
    """Replace the signature of each SAS in a text by ``***``."""
    return _SIGNATURE.sub(rf"\g<1>{HIDDEN}", text)


def hide_in_error(error: BaseException, secrets: Collection[str]) -> None:
    """
    Remove secrets from an error's text; if there were any, remove its cause and context, too.

    :param error: the error, which is changed.
    """
    texts = [str(part) for part in (error, error.__cause__, error.__context__) if part is not None]
    if texts == [without_secrets(text, secrets) for text in texts]:
        return
    error.args = tuple(without_secrets(arg, secrets) if isinstance(arg, str) else arg for arg in error.args)
    error.__cause__ = error.__context__ = None
