"""Key pairs as OpenSSH's files, by what OpenSSH's own tools, asyncssh and cryptography make of them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.users.key_pairs import KeyPair
from airflow_provider_batchlinux.core.users.public_keys import holds_private_key, public_key_problems


def made(comment: str = "dag_id=etl run_id=manual__1") -> KeyPair:
    private = Ed25519PrivateKey.generate()
    return KeyPair(private.private_bytes_raw(), private.public_key().public_bytes_raw(), comment)


PAIR = made()
SEEDS = st.binary(min_size=32, max_size=32)
CHECKS = st.integers(0, 2**32 - 1)


def test_ssh_keygen_reads_the_private_half_with_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(PAIR.private_text(7))

    shown = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True)

    assert shown.stdout == f"{PAIR.public_line} {PAIR.comment}\n"


def test_other_libraries_read_the_private_half_as_the_same_pair() -> None:
    text = PAIR.private_text(7)
    read = asyncssh.import_private_key(text)
    private = load_ssh_private_key(text.encode(), None)

    assert (read.get_comment(), read.get_fingerprint()) == (PAIR.comment, PAIR.fingerprint)
    assert isinstance(private, Ed25519PrivateKey)
    assert private.private_bytes_raw() == PAIR.seed


def test_what_a_program_of_openssh_wrote_is_read() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="me")

    pair = KeyPair.parse(key.export_private_key().decode())

    assert (pair.fingerprint, pair.comment) == (key.get_fingerprint(), "me")


@given(SEEDS, SEEDS, st.text(), CHECKS)
def test_a_pair_is_read_back_as_it_was_written(seed: bytes, public: bytes, comment: str, check: int) -> None:
    pair = KeyPair(seed, public, comment)

    assert KeyPair.parse(pair.private_text(check)) == pair


def test_the_public_half_is_a_sound_key_and_the_private_one_is_known_for_what_it_is() -> None:
    assert public_key_problems(PAIR.public_line) == []
    assert holds_private_key(PAIR.private_text(7))


def test_a_pair_does_not_show_its_private_half() -> None:
    assert repr(PAIR.seed) not in repr(PAIR)
    assert repr(PAIR.public) in repr(PAIR)


@pytest.mark.parametrize(
    "change", [str.strip, lambda text: text.replace("\n", "\r\n"), lambda text: f"\n{text}"]
)
def test_line_ends_that_a_place_changed_do_no_harm(change) -> None:
    assert KeyPair.parse(change(PAIR.private_text(7))) == PAIR


def test_halves_that_do_not_belong_together_are_refused() -> None:
    lines = PAIR.private_text(7).splitlines()
    blob = base64.b64decode("".join(lines[1:-1]))
    mixed = base64.b64encode(blob.replace(PAIR.seed + PAIR.public, PAIR.seed + bytes(32))).decode()

    with pytest.raises(ValueError, match="is no Ed25519 key"):
        KeyPair.parse("\n".join([lines[0], mixed, lines[-1]]))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("s3cret", id="one line"),
        pytest.param(PAIR.private_text(7)[:-80], id="cut off"),
        pytest.param(PAIR.private_text(7).replace("OPENSSH ", ""), id="another kind of file"),
        pytest.param(asyncssh.generate_private_key("ssh-rsa").export_private_key().decode(), id="rsa"),
        pytest.param(
            asyncssh.generate_private_key("ssh-ed25519").export_private_key(passphrase="x").decode(),
            id="with a passphrase",
        ),
    ],
)
def test_what_is_no_such_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(
        ValueError, match="is no Ed25519 key in OpenSSH's form without a passphrase"
    ) as refusal:
        KeyPair.parse(text)

    assert not any(line in str(refusal.value) for line in text.split()[4:-4])
    assert refusal.value.__cause__ is None


@given(st.text())
def test_reading_any_text_fails_only_as_it_should(text: str) -> None:
    lines = PAIR.private_text(7).splitlines()
    with pytest.raises(ValueError, match="is no Ed25519 key"):
        KeyPair.parse("\n".join([lines[0], text, lines[-1]]))
