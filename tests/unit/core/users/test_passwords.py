"""Passwords that are made, and what is said of those that are given."""

from __future__ import annotations

import re
import secrets
import shlex
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.users.passwords import (
    PASSWORD_LENGTH,
    made_password,
    password_advice,
    password_problems,
)

MANY = [made_password(secrets.choice) for _ in range(300)]


def test_a_made_password_has_all_classes_and_nothing_that_looks_alike() -> None:
    for password in MANY:
        assert len(password) == PASSWORD_LENGTH
        assert all(re.search(kind, password) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[-_.]"))
        assert not set(password) & set("0O1lI")
        assert (password_problems(password), password_advice(password)) == ([], None)


def test_a_made_password_means_nothing_to_a_shell_or_a_url_and_is_no_option() -> None:
    for password in MANY:
        assert shlex.split(password) == [password] == [shlex.quote(password)]
        assert quote(password, safe="") == password
        assert password[0].isalpha()
        assert password[-1].isalnum()


def test_no_password_is_made_twice() -> None:
    assert len(set(MANY)) == len(MANY)


@given(st.integers())
def test_a_password_is_made_of_nothing_but_the_given_chance(seed: int) -> None:
    first, second = (made_password(Random(seed).choice) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("password", ["s3cret\n", "s3\0cret", "s3cret\x7f", "\ts3cret"])
def test_a_password_that_cannot_be_typed_is_refused_and_not_repeated(password: str) -> None:
    [problem] = password_problems(password)

    assert problem.startswith("password holds a line break or another control character")
    assert "s3" not in problem


@pytest.mark.parametrize("password", ["secret", "correct horse battery staple", "pässwörter ☕"])
def test_what_the_service_took_is_not_refused(password: str) -> None:
    assert password_problems(password) == []


@pytest.mark.parametrize(
    ("password", "is_weak"),
    [
        pytest.param("secret", True, id="short"),
        pytest.param("secretsecretsecret", True, id="one class"),
        pytest.param("Secretsecret9", False, id="three classes"),
        pytest.param("Secret-9", True, id="short with four"),
    ],
)
def test_an_easy_password_gets_advice_that_does_not_repeat_it(password: str, is_weak: bool) -> None:
    advice = password_advice(password)

    assert (advice is not None) == is_weak
    assert password not in str(advice)
