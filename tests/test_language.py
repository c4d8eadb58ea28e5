"""Phrases that neither code nor documentation uses; ``docs/contributing.md`` has the words to use instead."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from tests.source_code import PACKAGE, SOURCES, functions, nodes_of, place, tracked_texts

# Regular expressions over text in lower case, in which each run of spaces, line ends, comment signs and
# underscores is one space. So names are read as words, and a phrase is found over the end of a line.
PHRASES = [
    # English that readers have to translate.
    r"what (?:becomes|became) of",
    r"\bhas become of\b",
    r"\bthat (?:is|are) there\b",
    r"\bthere (?:is|are) none of\b",
    r"\banew\b",
    r"\b(?:told|tells?) of\b",
    r"\bto be had\b",
    r"\b(?:is|are) had\b",
    r"\bso many\b",
    r"\b(?:pools?|users?|nodes?|jobs?|files?|it|they|that|which) (?:(?:may|can|must) go|goes)\b"
    r"(?! (?:on|through|into|to|back)\b)",
    r"\bby (?:itself|themselves)\b",
    r"\bof one's own\b",
    r"\bshall\b",
    r"\bwh(?:o|om)ever\b",
    r"\bsomebody\b",
    # Not the Linux user of that name.
    r"\bnobody\b(?!\s?[\"=,);])",
    r"\bas (?:it|they) (?:is|are|was|were) there\b",
    r"\bon (?:its|their) way\b",
    r"\bstands\b(?! (?:for|in|still)\b)",
    # Names that were replaced by the field's word.
    r"\bstor(?:y|ies)\b",
    r"\bwish(?:es)?\b",
    r"\bdoors\b",
    r"\bpremises\b",
    r"\bmisfortunes?\b",
    r"\btended\b",
    r"\bluck\b",
    r"\bguardian\b",
    r"\bleftovers\b",
    r"\bmanners\b",
]
# What is left of them, by folder. A number here may only become smaller; in the end the table is empty.
STILL_THERE: dict[str, int] = {}


@cache
def found() -> dict[str, list[str]]:
    """Return the phrases found in each folder, each with its file."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name, text in tracked_texts():
        if name != "tests/test_language.py" and name.endswith((".py", ".md", "Makefile", ".yaml", ".toml")):
            by_folder[folder_of(name)] += [f"{name}: {phrase}" for phrase in phrases_in(text)]
    return by_folder


def folder_of(name: str) -> str:
    first, *rest = name.split("/")
    return f"{first}/{rest[0]}" if first in {PACKAGE, "tests"} and len(rest) > 1 else first


def phrases_in(text: str) -> Iterator[str]:
    read = re.sub(r"[\s_#]+", " ", text.lower())
    for phrase in PHRASES:
        # Without \b in front, re looks for the first letters, which is ten times as fast.
        for match in re.finditer(phrase.removeprefix(r"\b"), read):
            before = read[max(0, match.start() - 1) : match.start()]
            if not (phrase.startswith(r"\b") and before.isalnum()):
                yield read[max(0, match.start() - 30) : match.end() + 30]


def test_no_text_uses_a_phrase_of_the_list() -> None:
    more = {
        folder: phrases for folder, phrases in found().items() if len(phrases) > STILL_THERE.get(folder, 0)
    }

    assert more == {}


@pytest.mark.parametrize(
    "text",
    [
        "What becomes\n    # of it",
        "def test_nobody_is_asked",
        "The pool may go.",
        "a pool that\nis there",
        "PoolWish wish",
    ],
)
def test_a_phrase_is_found_in_names_and_over_line_ends(text: str) -> None:
    assert list(phrases_in(text))


NOUNS = r"(?:\w+ )?(?:commands|files|images|jobs|nodes|pools|tasks|users)\b"


def test_numbers_of_things_have_the_right_plural() -> None:
    """``counted(1, "node")`` is "1 node"; after another number, as in "0 of 1 nodes", the plural is right."""
    wrong = []
    for path in SOURCES:
        for node in nodes_of(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong += [place(path, node)] if re.search(rf"(?<!of )(?<!and )%d {NOUNS}", node.value) else []
            elif isinstance(node, ast.JoinedStr):
                text = ast.unparse(node)
                found = re.search(rf"(?<!of )(?<!of the )\{{len\([^{{}}]*\)\}} {NOUNS}", text)
                wrong += [place(path, node)] if found else []

    assert wrong == []


def test_what_returns_a_value_says_so() -> None:
    spoken = [
        place(path, node)
        for path, node in functions(SOURCES)
        if (ast.get_docstring(node) or "").split(" ")[0] in {"Give", "Say", "Tell"}
    ]

    assert spoken == []


@pytest.mark.parametrize("text", ["it goes on", "The file that is therefore read", "standing", "a history"])
def test_similar_words_are_not_phrases(text: str) -> None:
    assert list(phrases_in(text)) == []
