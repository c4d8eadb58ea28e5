"""
The description of the distributions: README.md, whose links lead somewhere also outside a checkout.

A package index shows the text without the files beside it. If `[project.urls]` has `Source`, relative links
lead there; otherwise they become plain text, and the picture is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_IMAGE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)]*)\)")


def description(readme: str, source: str | None) -> str:
    """
    Return the README for a package index.

    :param readme: the text of README.md.
    :param source: the URL below which the files of the project are; ``None`` if it has no public address.
    """
    if source:
        base = source.rstrip("/")
        return re.sub(r"\]\((?!https?:)([^)]*)\)", rf"]({base}/\1)", readme)
    # A link whose text is the name of a file stays readable without its target.
    return _LINK.sub(r"\1", _IMAGE.sub("", readme))


class DescriptionHook(MetadataHookInterface):
    """Hatchling calls it for the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description in the metadata of the project."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(readme, source)}
