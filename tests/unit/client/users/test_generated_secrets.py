"""Keys and passwords that are made, kept in files and by callbacks, and found again by a later try."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_batchlinux.client.users.generated_secrets import key_pair_at, password_at, secret_parts
from airflow_provider_batchlinux.core.users.key_pairs import KeyPair
from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination, SecretRequest

OWNER = {"dag_id": "etl", "run_id": "manual__1", "task_id": "add", "map_index": "-1"}
KEY = SecretRequest("ssh_private_key", "pool", "etl", OWNER)
WORD = SecretRequest("password", "pool", "etl", OWNER)


class Safe:
    """A place for one secret, such as a path in a secrets backend."""

    def __init__(self, held: str | None = None) -> None:
        self.held = held
        self.masked_before: list[str] = []

    def save(self, _request: SecretRequest, secret: str) -> None:
        self.masked_before = list(MASKED)
        self.held = secret

    def load(self, _request: SecretRequest) -> str | None:
        return self.held

    @property
    def destination(self) -> KeyDestination:
        return KeyDestination(save=self.save, load=self.load)


MASKED: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_masked() -> None:
    MASKED.clear()


def made_key(destination: KeyDestination, request: SecretRequest = KEY) -> tuple[KeyPair, bool]:
    return key_pair_at(destination, request, MASKED.append)


def made_word(
    destination: KeyDestination, request: SecretRequest = WORD, *, must_exist: bool = False
) -> tuple[str, bool]:
    return password_at(destination, request, MASKED.append, must_exist=must_exist)


MAKERS: list[Callable[[KeyDestination], tuple[object, bool]]] = [made_key, made_word]


class TestFiles:
    def test_a_private_key_is_its_owner_s_alone_and_ssh_keygen_reads_it(self, tmp_path):
        path = tmp_path / "etl"

        pair, is_new = made_key(KeyDestination(str(path)))

        shown = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True)
        assert is_new
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert shown.stdout == f"{pair.public_line} {KEY.comment}\n"

    def test_a_password_stands_in_the_first_line_of_its_owner_s_file(self, tmp_path):
        path = tmp_path / "etl"

        password, is_new = made_word(KeyDestination(str(path)))

        assert is_new
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().splitlines() == [password, f"# {WORD.comment}"]

    @pytest.mark.parametrize("make", MAKERS)
    def test_another_try_of_the_task_instance_takes_what_is_there(self, tmp_path, make):
        destination = KeyDestination(str(tmp_path / "etl"))
        first, _ = make(destination)

        assert make(destination) == (first, False)
        assert make(replace(destination, overwrite=True)) == (first, False)

    @pytest.mark.parametrize("make", MAKERS)
    def test_what_was_killed_before_it_wrote_is_made_good(self, tmp_path, make):
        path = tmp_path / "etl"
        path.touch()

        assert make(KeyDestination(str(path)))[1]
        assert path.stat().st_size > 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("make", MAKERS)
    def test_the_file_of_something_else_is_left_and_not_repeated(self, tmp_path, make):
        path = tmp_path / "etl"
        path.write_text("s3cret of somebody\n")

        with pytest.raises(
            ValueError, match="holds something that this task instance did not make"
        ) as refusal:
            make(KeyDestination(str(path)))

        assert path.read_text() == "s3cret of somebody\n"
        assert "s3cret" not in str(refusal.value)
        assert MASKED == []

    def test_the_file_of_another_dag_run_is_left(self, tmp_path):
        destination = KeyDestination(str(tmp_path / "etl"))
        other = {**OWNER, "run_id": "manual__2"}
        made_key(destination, replace(KEY, owner=other))

        with pytest.raises(ValueError, match="did not make"):
            made_key(destination)

    @pytest.mark.parametrize("make", MAKERS)
    def test_the_file_of_something_else_is_replaced_when_asked(self, tmp_path, make):
        path = tmp_path / "etl"
        path.write_text("s3cret of somebody\n")

        assert make(KeyDestination(str(path), overwrite=True))[1]
        assert "s3cret" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("make", MAKERS)
    def test_a_secret_that_others_could_read_is_used_no_more(self, tmp_path, make):
        path = tmp_path / "etl"
        first, _ = make(KeyDestination(str(path)))
        path.chmod(0o640)

        with pytest.raises(ValueError, match="has mode 0640: others may know it"):
            make(KeyDestination(str(path)))
        again, is_new = make(KeyDestination(str(path), overwrite=True))

        assert is_new
        assert again != first

    @pytest.mark.parametrize("make", MAKERS)
    def test_a_link_is_not_followed(self, tmp_path, make):
        target, link = tmp_path / "target", tmp_path / "link"
        link.symlink_to(target)

        with pytest.raises(ValueError, match="is no plain file"):
            make(KeyDestination(str(link), overwrite=True))

        assert not target.exists()

    def test_a_directory_that_is_missing_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            made_key(KeyDestination(str(tmp_path / "nowhere" / "etl")))

    def test_a_private_half_that_belongs_to_another_public_one_is_refused(self, tmp_path):
        path = tmp_path / "etl"
        pair, _ = made_key(KeyDestination(str(path)))
        path.write_text(replace(pair, public=bytes(32)).private_text(7))

        with pytest.raises(ValueError, match="does not belong to its public half"):
            made_key(KeyDestination(str(path)))


class TestCallbacks:
    def test_the_private_half_is_masked_and_then_saved(self):
        safe = Safe()

        pair, is_new = made_key(safe.destination)

        assert is_new
        assert KeyPair.parse(str(safe.held)) == pair
        assert set(secret_parts(str(safe.held))) <= set(safe.masked_before)

    def test_the_password_is_masked_and_then_saved(self):
        safe = Safe()

        password, _ = made_word(safe.destination)

        assert safe.held == password
        assert password in safe.masked_before

    @pytest.mark.parametrize("make", MAKERS)
    def test_what_load_gives_is_used_again_and_masked(self, make):
        safe = Safe()
        first, _ = make(safe.destination)
        MASKED.clear()

        assert make(safe.destination) == (first, False)
        assert safe.held in MASKED

    @pytest.mark.parametrize("make", MAKERS)
    def test_without_load_each_try_makes_and_saves_anew(self, make):
        safe = Safe()
        first, _ = make(KeyDestination(save=safe.save))

        second, is_new = make(KeyDestination(save=safe.save))

        assert is_new
        assert second != first

    def test_a_line_break_that_a_backend_put_behind_a_password_is_none_of_it(self):
        assert made_word(Safe("pass-Word_1\n").destination) == ("pass-Word_1", False)

    def test_a_loaded_text_that_is_no_private_key_is_refused_and_not_repeated(self):
        with pytest.raises(ValueError, match="is no Ed25519 key in OpenSSH's form") as refusal:
            made_key(Safe("s3cret").destination)

        assert "s3cret" not in str(refusal.value)

    def test_a_password_that_some_nodes_have_is_never_made_anew(self):
        with pytest.raises(
            ValueError, match="holds the password no more that some nodes have for user 'etl'"
        ):
            made_word(Safe().destination, must_exist=True)

        assert made_word(Safe("pass-Word_1").destination, must_exist=True) == ("pass-Word_1", False)

    @pytest.mark.parametrize("make", MAKERS)
    def test_an_error_of_the_backend_that_repeats_the_secret_is_told_without_it(self, make):
        def save(request: SecretRequest, secret: str) -> None:
            told.append(secret)
            msg = f"cannot write {secret} today"
            raise RuntimeError(msg) from OSError(secret)

        told: list[str] = []
        with pytest.raises(RuntimeError, match=r"cannot write \*\*\* today") as failure:
            make(KeyDestination(save=save))

        assert failure.value.__cause__ is None
        assert not any(part in repr(failure.value) for part in secret_parts(told[0]))

    def test_an_error_that_hides_the_secret_deeper_is_replaced(self):
        class BackendError(Exception):
            def __str__(self) -> str:
                return f"refused {self.args[0]['value']}"

        def save(request: SecretRequest, secret: str) -> None:
            raise BackendError({"value": secret})

        with pytest.raises(RuntimeError, match="save raised BackendError, whose text holds the secret"):
            made_word(KeyDestination(save=save))

    def test_an_error_with_the_secret_deep_in_what_it_came_from_is_replaced(self):
        def save(request: SecretRequest, secret: str) -> None:
            cause = OSError("no route")
            cause.__context__ = OSError(secret)
            msg = "today"
            raise RuntimeError(msg) from cause

        with pytest.raises(RuntimeError, match="save raised RuntimeError, whose text holds the secret"):
            made_word(KeyDestination(save=save))

    def test_an_error_without_the_secret_is_passed_on_as_it_is(self):
        error, cause = PermissionError("403 at vault"), OSError("no route")

        def save(request: SecretRequest, secret: str) -> None:
            raise error from cause

        with pytest.raises(PermissionError) as failure:
            made_word(KeyDestination(save=save))

        assert failure.value is error
        assert failure.value.__cause__ is cause


def test_the_parts_of_a_private_key_are_its_lines_but_not_their_frame(tmp_path: Path) -> None:
    safe = Safe()
    made_key(safe.destination)

    text = str(safe.held)
    assert set(text.splitlines()[1:-2]) <= set(secret_parts(text))
    assert not any(part.startswith("---") and len(part) < 60 for part in secret_parts(text))
