"""The links between the pages of a built site."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links"]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        given = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := given.get(name)))
        target = given.get("href") or given.get("src")
        if target:
            self.links.append(target)


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken_links(site: Path) -> list[str]:
    """
    Return the links and images that lead to no file, or no place in a page, of the site.

    What a page loads from another server counts as broken: the site has to work without a network.
    """
    broken = []
    for path in sorted(site.rglob("*.html")):
        for link in _read(path).links:
            place = urlsplit(link)
            if place.scheme or place.netloc:
                continue
            target = (path.parent / unquote(place.path)).resolve() if place.path else path
            is_there = target.is_file() and (
                not place.fragment
                or target.suffix != ".html"
                or unquote(place.fragment) in _read(target).anchors
            )
            if not is_there:
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken
