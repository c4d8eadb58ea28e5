"""Key pairs that are generated, written to files, and found again by a later try."""

from __future__ import annotations

import stat
import subprocess
from io import StringIO
from pathlib import Path

import asyncssh
import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.users.generated_keys import KeyPair, key_pair_at, secret_parts
from airflow_provider_batchlinux.core.users.credentials import (
    KeyDestination,
    holds_private_key,
    public_key_problems,
)

OWNER = "dag_id=etl map_index=-1 run_id=manual__1 task_id=add"
MASKED: list[str] = []
PAIR = KeyPair.generate()


@pytest.fixture(autouse=True)
def _nothing_masked() -> None:
    MASKED.clear()


def key_at(path: Path, owner: str = OWNER, *, overwrite: bool = False) -> tuple[KeyPair, bool]:
    return key_pair_at(KeyDestination(str(path), overwrite), owner, MASKED.append)


class TestPairs:
    def test_other_libraries_read_the_same_pair(self):
        read = asyncssh.import_private_key(PAIR.private_text)
        other = paramiko.Ed25519Key.from_private_key(StringIO(PAIR.private_text))

        assert read.get_fingerprint() == PAIR.fingerprint
        assert PAIR.public_line == f"ssh-ed25519 {other.get_base64()}"

    def test_what_a_program_of_openssh_wrote_is_read(self):
        key = asyncssh.generate_private_key("ssh-ed25519", comment="me")

        assert KeyPair.parse(key.export_private_key().decode()).fingerprint == key.get_fingerprint()

    def test_the_public_half_is_sound_and_the_private_half_is_recognised(self):
        assert public_key_problems(PAIR.public_line) == []
        assert holds_private_key(PAIR.private_text)

    def test_a_pair_does_not_show_its_private_half(self):
        assert not any(line in repr(PAIR) for line in PAIR.private_text.splitlines())
        assert PAIR.public_line in repr(PAIR)

    @pytest.mark.parametrize(
        "change", [str.strip, lambda text: text.replace("\n", "\r\n"), lambda text: f"\n{text}"]
    )
    def test_changed_line_ends_do_no_harm(self, change):
        assert KeyPair.parse(change(PAIR.private_text)).public_line == PAIR.public_line

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="empty"),
            pytest.param("s3cret", id="one line"),
            pytest.param(PAIR.private_text[:-80], id="cut off"),
            pytest.param(PAIR.private_text.replace("OPENSSH ", ""), id="another kind of file"),
            pytest.param(
                asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode(),
                id="rsa",
            ),
            # One round, because the default of 128 takes seconds, in each process that collects the tests.
            pytest.param(
                asyncssh.generate_private_key("ssh-ed25519")
                .export_private_key(passphrase="x", rounds=1, ignore_few_rounds=True)
                .decode(),
                id="with a passphrase",
            ),
        ],
    )
    def test_a_text_that_is_no_such_private_key_is_refused_and_not_repeated(self, text):
        with pytest.raises(
            ValueError, match="is not an Ed25519 key in OpenSSH's form without a passphrase"
        ) as refusal:
            KeyPair.parse(text)

        assert not any(line in str(refusal.value) for line in text.split()[4:-4])
        assert refusal.value.__cause__ is None
        assert refusal.value.__context__ is None

    @given(st.text())
    def test_any_text_fails_only_with_that_error(self, text):
        lines = PAIR.private_text.splitlines()
        with pytest.raises(ValueError, match="is not an Ed25519 key"):
            KeyPair.parse("\n".join([lines[0], text, lines[-1]]))


class TestFiles:
    def test_a_private_key_is_readable_by_its_owner_only_and_by_openssh(self, tmp_path):
        path = tmp_path / "etl"

        pair, is_new = key_at(path)

        shown = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True)
        assert is_new
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert shown.stdout.strip() == pair.public_line

    def test_the_libraries_of_python_read_the_file(self, tmp_path):
        path = tmp_path / "etl"

        pair, _ = key_at(path)

        assert asyncssh.read_private_key(str(path)).get_fingerprint() == pair.fingerprint
        assert paramiko.Ed25519Key.from_private_key_file(str(path)).get_base64() in pair.public_line

    def test_another_try_of_the_task_instance_uses_the_same_key(self, tmp_path):
        path = tmp_path / "etl"
        first, _ = key_at(path)
        MASKED.clear()

        assert key_at(path) == (first, False)
        assert key_at(path, overwrite=True) == (first, False)
        assert set(secret_parts(first.private_text)) <= set(MASKED)

    def test_the_key_is_masked_before_it_is_written(self, tmp_path):
        class StopError(Exception):
            pass

        def stop(_secret: str) -> None:
            raise StopError

        with pytest.raises(StopError):
            key_pair_at(KeyDestination(str(tmp_path / "etl")), OWNER, stop)

        assert not (tmp_path / "etl").exists()

    def test_the_file_of_a_try_that_was_killed_before_it_wrote_is_replaced(self, tmp_path):
        path = tmp_path / "etl"
        path.touch()

        assert key_at(path)[1]
        assert path.stat().st_size > 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("s3cret of a person\n", id="anything"),
            pytest.param(PAIR.private_text, id="an unknown key"),
            pytest.param(f"{PAIR.private_text}# dag_id=other\n", id="a key of another task"),
            pytest.param(f"s3cret\n# {OWNER}\n", id="no key"),
        ],
    )
    def test_a_file_that_something_else_wrote_is_left_and_not_repeated(self, tmp_path, text):
        path = tmp_path / "etl"
        path.write_text(text)

        with pytest.raises(ValueError, match="was not written by this task instance") as refusal:
            key_at(path)

        assert path.read_text() == text
        assert not any(line in str(refusal.value) for line in text.splitlines())
        assert MASKED == []

    def test_a_file_that_something_else_wrote_is_replaced_on_request(self, tmp_path):
        path = tmp_path / "etl"
        path.write_text("s3cret of a person\n")

        assert key_at(path, overwrite=True)[1]
        assert "s3cret" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_key_that_others_could_read_is_not_used_again(self, tmp_path):
        path = tmp_path / "etl"
        first, _ = key_at(path)
        path.chmod(0o640)

        with pytest.raises(ValueError, match="has mode 0640, so others may have read it"):
            key_at(path)
        again, is_new = key_at(path, overwrite=True)

        assert is_new
        assert again != first

    def test_a_link_is_not_followed(self, tmp_path):
        target, link = tmp_path / "target", tmp_path / "link"
        link.symlink_to(target)

        with pytest.raises(ValueError, match="is not a regular file"):
            key_at(link, overwrite=True)

        assert not target.exists()

    def test_a_missing_directory_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            key_at(tmp_path / "nowhere" / "etl")


def test_the_parts_of_a_private_key_are_its_lines_but_not_their_frame() -> None:
    text = PAIR.private_text

    assert set(text.splitlines()[1:-2]) <= set(secret_parts(text))
    assert not any(part.startswith("---") and len(part) < 60 for part in secret_parts(text))
