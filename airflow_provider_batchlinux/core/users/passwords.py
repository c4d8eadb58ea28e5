"""Passwords of node users: made, and looked at before they are sent; imports only the standard library."""

from __future__ import annotations

import string
from collections.abc import Callable

__all__ = ["PASSWORD_LENGTH", "made_password", "password_advice", "password_problems"]

PASSWORD_LENGTH = 24

_LOOK_ALIKE = "0O1lI"
_LOWER, _UPPER, _DIGITS = (
    "".join(character for character in alphabet if character not in _LOOK_ALIKE)
    for alphabet in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
)
_SYMBOLS = "-_."
"""They mean nothing to a shell, nor in a URL such as that of an Airflow connection."""

_GOOD_LENGTH = 12
_GOOD_CLASSES = 3


def made_password(choose: Callable[[str], str]) -> str:
    """
    Make a password of 24 characters: more than 130 bits of chance.

    The service documents no rules for the passwords of node users. This one meets those that Azure has for
    the administrator of a Linux VM: 12 to 72 characters, at least three of lower case, upper case, digits
    and symbols. It has no characters that look alike, and none that a shell or a URL reads otherwise.

    :param choose: takes one character out of a text, unpredictably: ``secrets.choice``.
    """
    alphabet = _LOWER + _UPPER + _DIGITS + _SYMBOLS
    while True:
        # A symbol at the beginning could pass for an option of a command, one at the end for punctuation.
        ends = choose(_LOWER + _UPPER), choose(_LOWER + _UPPER + _DIGITS)
        inner = "".join(choose(alphabet) for _ in range(PASSWORD_LENGTH - 2))
        password = ends[0] + inner + ends[1]
        if _classes(password) == 4:
            return password


def password_problems(password: str) -> list[str]:
    """
    List why nobody could log in with a password; the password itself is never repeated.

    The service took a password of six lower-case letters on a Linux node, so its rules are not guessed at.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in password):
        return [
            "password holds a line break or another control character, which cannot be typed at a login. "
            "It may come from the end of a file: strip it."
        ]
    return []


def password_advice(password: str) -> str | None:
    """Tell that a password is easily guessed; ``None`` when it is not. It is not repeated."""
    if len(password) >= _GOOD_LENGTH and _classes(password) >= _GOOD_CLASSES:
        return None
    return (
        f"The password has fewer than {_GOOD_LENGTH} characters, or fewer than {_GOOD_CLASSES} of lower "
        "case, upper case, digits and symbols; an open SSH port is tried with such words all day. "
        "Give a key, or generate_password."
    )


def _classes(password: str) -> int:
    tests: tuple[Callable[[str], bool], ...] = (str.islower, str.isupper, str.isdigit)
    kinds = [any(test(character) for character in password) for test in tests]
    return sum(kinds) + any(not character.isalnum() for character in password)
