"""Patterns of output files find what the standard library's do."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.nodes.output_files import FilePattern, expand_variables

PARTS = st.sampled_from(["a", "b", ".a", "ab", "a.txt"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
PATTERN_PARTS = st.sampled_from(["a", "*", "**", "?", "[ab]", "[!a]", ".*", "a*", "*.txt", ".."])
PATTERNS = st.lists(PATTERN_PARTS, min_size=1, max_size=4).map("/".join)


def found(pattern: str, directory: Path) -> set[Path]:
    return {path.resolve() for path in FilePattern(pattern).files(directory)}


def expected(pattern: str, directory: Path) -> set[Path]:
    # It gives "a/" for "a/**" also where "a" is a file.
    names = (name for name in glob.glob(pattern, root_dir=directory, recursive=True) if name[-1:] != "/")
    return {path.resolve() for path in (directory / name for name in names) if path.is_file()}


@given(st.lists(PATHS, max_size=6), PATTERNS)
def test_a_pattern_means_what_it_does_in_the_standard_library(paths: list[str], pattern: str) -> None:
    written = pattern
    head, up, tail = pattern.rpartition("../")
    if any(letter in head for letter in "*?["):
        # Who goes up from a directory that was found is not followed.
        written = pattern = tail
    elif up:
        # A path that descends and ascends again needs no existing directory.
        pattern = f"{os.path.normpath(head + up)}/{tail}"
    with tempfile.TemporaryDirectory() as root:
        for path in paths:
            target = Path(root, "a/wd", path)
            if not any(parent.is_file() for parent in target.parents) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
        directory = Path(root, "a/wd")
        directory.mkdir(parents=True, exist_ok=True)
        if not pattern.endswith(".."):
            assert found(written, directory) == expected(pattern, directory)


@pytest.mark.parametrize(
    ("pattern", "base"),
    [("a/b.txt", "a"), ("a/*/c", "a"), ("*", ""), ("../std*.txt", ".."), ("a.txt", "")],
)
def test_the_base_of_a_pattern_has_no_wildcard(tmp_path: Path, pattern: str, base: str) -> None:
    assert FilePattern(pattern).base(tmp_path) == (tmp_path / base).resolve()


def test_brackets_take_a_wildcard_literally(tmp_path: Path) -> None:
    for name in ("a*", "ab"):
        (tmp_path / name).touch()

    assert found("a[*]", tmp_path) == {tmp_path / "a*"}


def test_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "a").touch()

    assert list(FilePattern("**/a").files(tmp_path)) == [tmp_path / "a"]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$A/x", "1/x"), ("${A}x", "1x"), ("$AB", "$AB"), ("a$", "a$"), ("$B", "$A")],
)
def test_variables_are_expanded_once(text: str, expanded: str) -> None:
    assert expand_variables(text, {"A": "1", "B": "$A"}) == expanded
