"""The report of a run on a real account."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.azure.differences import Difference

__all__ = ["DagRun", "Report", "TestOutcome"]


@dataclass(frozen=True)
class TestOutcome:
    """How a contract test ended: ``passed``, ``skipped`` or ``failed``, and with which message."""

    __test__ = False

    name: str
    kind: str
    message: str


@dataclass(frozen=True)
class DagRun:
    """How the run of an example Dag ended; the log is the end of that of all Dags, for one that failed."""

    state: str
    seconds: float
    log: str

    @classmethod
    def of(cls, run: Mapping[str, Any] | None, log: str) -> DagRun:
        """Return it from the report of the run; ``None`` for one that did not come to its end."""
        if run is None:
            return cls("not run to its end", 0.0, log)
        return cls(run["state"], run["seconds"], "" if run["state"] == "success" else log)


@dataclass
class Report:
    """
    What was run, what came of it, and how the account differs from the embedded service.

    :param guard: what the guard of the account said.
    :param is_empty: whether the account was empty at the end.
    """

    endpoint: str
    started: float
    tests: Sequence[TestOutcome] = ()
    embedded: Sequence[TestOutcome] = ()
    dags: Mapping[str, DagRun] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    guard: Sequence[str] = ()
    is_empty: bool = False

    @property
    def is_good(self) -> bool:
        """Whether tests ran, none failed, no Dag failed, and the account is empty."""
        has_passed = any(test.kind == "passed" for test in self.tests)
        has_failed = any(test.kind == "failed" for test in self.tests)
        good_dags = all(run.state == "success" for run in self.dags.values())
        return has_passed and not has_failed and good_dags and self.is_empty

    def write(self, folder: Path) -> str:
        """Write `report.md` and `differences.json` into a folder, and return what to print."""
        text = "\n".join(self._lines()) + "\n"
        (folder / "report.md").write_text(text, encoding="utf-8")
        rows = [
            {"test": each.test, "what": each.what, "recording": each.recording} for each in self.differences
        ]
        (folder / "differences.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        return f"{text}\nWritten to {folder}: report.md, differences.json"

    def _lines(self) -> Iterator[str]:
        yield f"# The account at {self.endpoint}"
        yield ""
        yield f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(self.started))} UTC"
        yield ""
        counts = Counter(test.kind for test in self.tests)
        said = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        yield f"- contract tests: {said or 'none ended'}"
        yield from (f"- Dag {name}: {run.state} in {run.seconds:.0f} s" for name, run in self.dags.items())
        yield from (f"- {line}" for line in self.guard)
        yield f"- differences from the embedded service: {len(self.differences)}"
        ours = {test.name: test.kind for test in self.embedded}
        failed = [test for test in self.tests if test.kind == "failed"]
        if failed:
            yield "\n## Tests that failed\n"
            for test in failed:
                on_embedded = ours.get(test.name, "not run")
                yield f"- `{test.name}` ({on_embedded} on the embedded service): {test.message}"
        skipped = [test for test in self.tests if test.kind == "skipped" and ours.get(test.name) == "passed"]
        if skipped:
            reasons = Counter(test.message for test in skipped)
            yield "\n## Tests that were skipped\n"
            yield from (f"- {number}: {reason}" for reason, number in reasons.most_common())
        if self.differences:
            yield "\n## Differences\n"
            yield from (f"- `{each.test}`: {each.what}" for each in self.differences)
        for name, run in self.dags.items():
            if run.log:
                yield f"\n## The log of {name}\n\n```\n{run.log}\n```"
