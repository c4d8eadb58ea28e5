"""Small files that travel with a task; real bash unpacks them here."""

from __future__ import annotations

import base64
import gzip
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.tasks.spec.files import (
    FILES_VARIABLE,
    MAX_PACKED_SIZE,
    digest_of_packed,
    pack_files,
    unpacking,
)

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))
NOISE = random.Random(1).randbytes(MAX_PACKED_SIZE)


def run(packed: str, directory: Path, command: str = "true") -> subprocess.CompletedProcess[str]:
    """Unpack in a directory as the node does, then run a command there."""
    return subprocess.run(
        ["/bin/bash", "-c", f"{unpacking()}\n{command}"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], FILES_VARIABLE: packed},
        capture_output=True,
        text=True,
        check=False,
    )


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@settings(max_examples=40)
@given(st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=4))
def test_files_arrive_as_they_were_sent(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run(pack_files(files), Path(directory))

        assert contents(Path(directory)) == files


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"data/2026/part.csv": b"a,b\n", "run.sh": b"true"}, id="in directories"),
        pytest.param({"empty": b""}, id="an empty file"),
        pytest.param({f"{'d' * 90}/{'f' * 90}": b"x"}, id="a long path"),
        pytest.param({"-rf": b"x", "$HOME `id`.txt": b"y"}, id="names that a shell would read"),
        pytest.param({"part.bin": NOISE[: MAX_PACKED_SIZE * 7 // 10]}, id="nearly as much as fits"),
    ],
)
def test_files_of_every_kind_arrive(files: dict[str, bytes], tmp_path: Path) -> None:
    assert run(pack_files(files), tmp_path).returncode == 0
    assert contents(tmp_path) == files


def test_a_script_that_arrived_can_be_run(tmp_path: Path) -> None:
    packed = pack_files({"bin/hello": b"#!/bin/sh\necho hello\n"})

    assert run(packed, tmp_path, "bin/hello").stdout == "hello\n"


def test_the_command_does_not_see_the_packed_files_any_more(tmp_path: Path) -> None:
    done = run(pack_files({"a": b"1"}), tmp_path, f"env; echo found: ${FILES_VARIABLE}")

    assert f"{FILES_VARIABLE}=" not in done.stdout
    assert done.stdout.endswith("found:\n")


def test_files_that_cannot_be_unpacked_end_the_task_before_its_command(tmp_path: Path) -> None:
    done = run(pack_files({"a": b"1"})[:20], tmp_path, "echo the command ran")

    assert (done.returncode, done.stdout) == (125, "")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        pytest.param("/etc/passwd", "leaves the task's directory", id="an absolute path"),
        pytest.param("../x", "leaves the task's directory", id="above the directory"),
        pytest.param("a/../../x", "leaves the task's directory", id="above the directory on a detour"),
        pytest.param("..", "leaves the task's directory", id="the directory above"),
        pytest.param("", "is a directory and not a file", id="no name"),
        pytest.param(".", "is a directory and not a file", id="the directory itself"),
        pytest.param("data/", "is a directory and not a file", id="a directory"),
        pytest.param("data/.", "is a directory and not a file", id="a directory, in other words"),
    ],
)
def test_a_path_that_is_no_file_in_the_tasks_directory_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"files names {name!r}, which {complaint}.")):
        pack_files({"good": b"", name: b""})


def test_every_wrong_path_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"'/a'.*\n.*'b/'"):
        pack_files({"/a": b"", "b/": b""})


def test_files_that_are_too_large_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_PACKED_SIZE} travel with a task") as refused:
        pack_files({"part.bin": NOISE, "run.sh": b"true"})

    assert f"Given: part.bin ({MAX_PACKED_SIZE} bytes), run.sh (4 bytes)." in str(refused.value)


def test_what_can_be_packed_fits_one_environment_variable_of_linux() -> None:
    assert len(f"{FILES_VARIABLE}=") + MAX_PACKED_SIZE < 128 * 1024


def test_the_digest_does_not_depend_on_how_files_were_compressed() -> None:
    packed = pack_files({"a": b"1" * 1000})
    otherwise = base64.b64encode(
        gzip.compress(gzip.decompress(base64.b64decode(packed)), 1, mtime=9)
    ).decode()

    assert otherwise != packed
    assert digest_of_packed(otherwise) == digest_of_packed(packed)
    assert digest_of_packed(pack_files({"a": b"1" * 1001})) != digest_of_packed(packed)


@given(st.permutations(["a", "b/c", "d"]))
def test_the_same_files_are_packed_into_the_same_text(names: list[str]) -> None:
    assert pack_files({name: name.encode() for name in names}) == pack_files(
        {"a": b"a", "b/c": b"b/c", "d": b"d"}
    )
