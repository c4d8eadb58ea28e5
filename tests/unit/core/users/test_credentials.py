"""SSH public keys, passwords and the paths of generated keys; the keys are real ones."""

from __future__ import annotations

import base64

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.users.credentials import (
    KeyDestination,
    fingerprint,
    holds_private_key,
    password_advice,
    password_problems,
    public_key_advice,
    public_key_problems,
)


def made(algorithm: str, **options: int) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm, comment="etl@example.org", **options)


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key("openssh").decode()


def line_of(*fields: bytes) -> str:
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{fields[0].decode()} {base64.b64encode(blob).decode()}"


def rsa_line(*, exponent: int, bits: int) -> str:
    numbers = (exponent, 1 << (bits - 1) | 1)
    return line_of(
        b"ssh-rsa", *(b"\0" + number.to_bytes(-(-number.bit_length() // 8), "big") for number in numbers)
    )


KEY = made("ssh-ed25519")
LINE = public(KEY).strip()
TYPE, BLOB, COMMENT = LINE.split()
POINT = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)
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
        pytest.param("sk-s3cret-text@openssh.com AAAA", id="a type that does not exist"),
        pytest.param(KEY.export_public_key("rfc4716").decode(), id="a public key in another form"),
    ],
)
def test_what_is_not_one_line_of_openssh_is_refused(text: str) -> None:
    assert public_key_problems(text) == [
        "ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(f'from="10.0.0.1" {LINE}', "has options before the key", id="options"),
        pytest.param(f'command="echo a b",no-pty {LINE}', "has options before the key", id="with blanks"),
        pytest.param(public(made("ssh-dss")), "(DSA), which OpenSSH no longer supports", id="dsa"),
        pytest.param(f"ssh-ed25519-cert-v01@openssh.com {BLOB}", "holds a certificate", id="certificate"),
        pytest.param(public(made("ssh-rsa", key_size=1024)), "an RSA key of 1024 bits", id="short rsa"),
        pytest.param(rsa_line(exponent=1, bits=3072), "is not a sound key of that type", id="rsa of one"),
        pytest.param(rsa_line(exponent=65537, bits=16385), "an RSA key of 16385 bits", id="endless rsa"),
    ],
)
def test_an_unsafe_key_is_refused_with_its_reason(line: str, reason: str) -> None:
    [problem] = public_key_problems(line)

    assert reason in problem
    assert not any(word in problem for word in line.split()[1:] if len(word) > 3)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"ssh-ed25519", b"\1" * 31), id="ed25519 of 31 bytes"),
        pytest.param((b"ssh-ed25519", b"\1" * 32, b"more"), id="ed25519 with more behind it"),
        pytest.param((b"ecdsa-sha2-nistp256", b"nistp384", b"\4" * 97), id="ecdsa of another curve"),
        pytest.param((b"ecdsa-sha2-nistp256", b"nistp256", b"\4" * 64), id="ecdsa of a short point"),
        pytest.param((b"ecdsa-sha2-nistp256", b"nistp256"), id="ecdsa without a point"),
        pytest.param((b"ssh-rsa", b"\1\0\1"), id="rsa without a modulus"),
        pytest.param((b"sk-ssh-ed25519@openssh.com", b"\1" * 32), id="security key without application"),
    ],
)
def test_a_key_with_parts_that_no_such_key_has_is_refused(fields: tuple[bytes, ...]) -> None:
    [problem] = public_key_problems(line_of(*fields))

    assert problem.endswith("is not a sound key of that type.")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"sk-ssh-ed25519@openssh.com", b"\1" * 32, b"ssh:"), id="ed25519"),
        pytest.param((b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"), id="ecdsa"),
    ],
)
def test_a_key_on_a_security_key_is_taken(fields: tuple[bytes, ...]) -> None:
    assert public_key_problems(line_of(*fields)) == []


def test_a_short_rsa_key_is_taken_with_advice_and_a_good_key_without() -> None:
    short, good = public(made("ssh-rsa", key_size=2048)), public(made("ssh-rsa", key_size=3072))

    assert "has 2048 bits, and 3072 are recommended" in str(public_key_advice(short))
    assert [public_key_advice(good), public_key_advice(LINE)] == [None, None]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE, id="a comment"),
        pytest.param(f"  {TYPE}\t{BLOB} another comment\n", id="blanks"),
        pytest.param(f"{TYPE} {BLOB}", id="nothing else"),
    ],
)
def test_the_fingerprint_equals_that_of_ssh_for_any_options_and_comment(line: str) -> None:
    assert fingerprint(line) == KEY.get_fingerprint("sha256")


def test_a_text_that_is_no_public_key_has_no_fingerprint_and_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="holds a private key") as refusal:
        fingerprint(KEY.export_private_key().decode())

    assert not any(line in str(refusal.value) for line in KEY.export_private_key().decode().split())


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
        "ssh_public_key says 'ssh-ed25519', but its base64 part is not a sound key of that type."
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


@pytest.mark.parametrize("password", ["s3cret\n", "s3\0cret", "s3cret\x7f", "\ts3cret"])
def test_a_password_that_cannot_be_typed_is_refused_and_not_repeated(password: str) -> None:
    [problem] = password_problems(password)

    assert problem.startswith("password holds a line break or another control character")
    assert "s3" not in problem


@pytest.mark.parametrize("password", ["secret", "correct horse battery staple", "pässwörter ☕"])
def test_a_password_that_the_service_accepts_is_not_refused(password: str) -> None:
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


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_absolute_path_is_a_destination(overwrite: bool) -> None:
    assert KeyDestination("/keys/etl", overwrite).problems("generate_key") == []


@pytest.mark.parametrize("path", ["keys/etl", "~/.ssh/etl", ""])
def test_a_path_that_is_not_absolute_is_refused(path: str) -> None:
    [problem] = KeyDestination(path).problems("generate_key")

    assert problem.startswith(f"generate_key={path!r} is not an absolute path")


def test_a_private_key_in_the_place_of_a_path_is_not_repeated() -> None:
    [problem] = KeyDestination("-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret").problems("generate_key")

    assert problem.startswith("generate_key holds a private key.")
    assert "s3cret" not in problem


def test_a_destination_looks_the_same_at_every_parse_of_the_dag_file() -> None:
    assert repr(KeyDestination("/keys/etl")) == "KeyDestination(file='/keys/etl', overwrite=False)"
