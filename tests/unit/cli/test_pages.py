"""What the pages tell people to type is what the command takes."""

from __future__ import annotations

import re
import shlex

import pytest

from airflow_provider_batchlinux.cli.main import parse
from tests.source_code import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def typed() -> list[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```(?:console|bash|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^batchlinux .*$", "\n".join(blocks), re.MULTILINE)


@pytest.mark.parametrize("line", typed())
def test_a_line_of_the_pages_is_understood(line: str) -> None:
    assert parse(shlex.split(line, comments=True)[1:]).command is not None


def test_the_pages_show_the_command() -> None:
    assert any(line.startswith("batchlinux ssh") for line in typed())
