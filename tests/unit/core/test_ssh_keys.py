"""Whether a text is an SSH public key, or a private one by mistake; the keys are real ones."""

from __future__ import annotations

import base64

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.ssh_keys import holds_private_key, public_key_problems


def made(algorithm: str, **options: int) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm, comment="etl@example.org", **options)


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key("openssh").decode()


KEY = made("ssh-ed25519")
LINE = public(KEY).strip()
TYPE, BLOB, COMMENT = LINE.split()
PUTTY = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIC0Gk3VnL1xq\n"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(KEY, id="ed25519"),
        pytest.param(made("ssh-rsa", key_size=2048), id="rsa"),
        pytest.param(made("ecdsa-sha2-nistp256"), id="ecdsa of 256 bits"),
        pytest.param(made("ecdsa-sha2-nistp521"), id="ecdsa of 521 bits"),
    ],
)
def test_a_public_key_as_openssh_writes_it_has_no_problems(key: asyncssh.SSHKey) -> None:
    assert public_key_problems(public(key)) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"{TYPE} {BLOB}", id="without a comment"),
        pytest.param(f"  {LINE}\r\n", id="with blanks and a line break around it"),
        pytest.param(f"{TYPE} {BLOB} me and my laptop", id="with a comment of several words"),
    ],
)
def test_a_public_key_may_be_written_as_people_paste_it(line: str) -> None:
    assert public_key_problems(line) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(BLOB, id="the base64 part alone"),
        pytest.param(f"{LINE}\n{LINE}", id="two keys"),
        pytest.param(f'from="10.0.0.1" {LINE}', id="options before the key"),
        pytest.param(f"ssh-dss {BLOB}", id="a type that is no longer used"),
        pytest.param("sk-s3cret-text@openssh.com AAAA", id="a type that does not exist"),
        pytest.param(KEY.export_public_key("rfc4716").decode(), id="a public key in another form"),
    ],
)
def test_what_is_not_one_line_of_openssh_is_refused(text: str) -> None:
    assert public_key_problems(text) == [
        "ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."
    ]


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param("not base64!", id="no base64"),
        pytest.param(BLOB[:40], id="cut off"),
        pytest.param(BLOB + "AAAA", id="something behind it"),
        pytest.param(public(made("ecdsa-sha2-nistp256")).split()[1], id="a key of another type"),
        pytest.param(base64.b64encode(b"\0\0\0\x0bssh-ed25519").decode(), id="a type without a key"),
    ],
)
def test_a_base64_part_that_is_no_whole_key_of_the_type_is_refused(blob: str) -> None:
    assert public_key_problems(f"{TYPE} {blob}") == [
        "ssh_public_key says 'ssh-ed25519', but its base64 part holds no whole key of that type."
    ]


@given(st.integers(0, len(BLOB) - 1))
def test_no_part_of_a_key_passes_for_the_key(length: int) -> None:
    assert public_key_problems(f"{TYPE} {BLOB[:length]}") != []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(KEY.export_private_key("openssh").decode(), id="openssh"),
        pytest.param(KEY.export_private_key("pkcs8-pem").decode(), id="pem"),
        pytest.param(f"\n  {PUTTY}", id="putty, after an empty line"),
        pytest.param(f"{LINE}\n{KEY.export_private_key().decode()}", id="behind the public half"),
    ],
)
def test_a_private_key_is_recognised_and_never_repeated(text: str) -> None:
    [problem] = public_key_problems(text)

    assert holds_private_key(text)
    assert problem.startswith("ssh_public_key holds a private key.")
    assert not any(line in problem for line in text.split())


@given(st.text())
def test_looking_at_any_text_neither_fails_nor_repeats_it(text: str) -> None:
    problems = public_key_problems(f"{text}-s3cret")

    assert problems
    assert "s3cret" not in " ".join(problems)
