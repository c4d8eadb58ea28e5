"""Build the documentation site: collect and generate its pages, run Sphinx, check every link within it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs_site.links import broken_links
from tests.docs_site.reference import generated_pages
from tests.source_code import ROOT

BUILD = ROOT / "build" / "docs"


def main() -> int:
    """Build the site in `build/docs/html` with the sphinx-build that is named; return the exit code."""
    [sphinx_build] = sys.argv[1:]
    source, site = BUILD / "source", BUILD / "html"
    shutil.rmtree(BUILD, ignore_errors=True)
    collect(source)
    # Warnings fail the build, and so does a reference to what no page describes.
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    built = subprocess.run([sphinx_build, "--builder", "html", *strict, str(source), str(site)], check=False)
    broken = broken_links(site)
    for link in broken:
        print(f"broken link: {link}")
    if built.returncode or broken:
        return 1
    print(f"The site has {len(list(site.rglob('*.html')))} pages: {site / 'index.html'}")
    return 0


def collect(source: Path) -> None:
    """Put all pages, written and generated, into one folder."""
    shutil.copytree(ROOT / "docs", source)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (source / "changelog.md").write_text(changelog.replace("](docs/", "]("), encoding="utf-8")
    for name, text in generated_pages().items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
