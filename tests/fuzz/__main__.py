"""Send a service of its own what a published description of the API gives rise to: ``SPEC SCHEMATHESIS``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.embedded_service import Service, embedded_service
from tests.fuzz.account import furnish
from tests.fuzz.description import prepared
from tests.signed_requests import Wire

ROOT = Path(__file__).parents[2]
SEED = 20260101
EXAMPLES = 12
"""Requests an operation in the phase of chance; those of the phase of coverage follow from its parameters."""
CHECKS = "no_defect,errors_have_their_shape,response_schema_conformance"


def main(arguments: list[str]) -> int:
    """Return 0 if nothing was found."""
    description, program = arguments
    specification = json.loads(Path(description).read_text(encoding="utf-8"))
    version = specification["info"]["version"]
    with tempfile.TemporaryDirectory(prefix="batchlinux-fuzz-") as name, embedded_service() as service:
        ids = furnish(Wire(service), version)
        path = Path(name) / "BatchService.json"
        path.write_text(json.dumps(prepared(specification)))
        return _run(service, program, path, ids)


def _run(service: Service, program: str, path: Path, ids: dict[str, str]) -> int:
    options = {
        "url": service.endpoint,
        "checks": CHECKS,
        "phases": "coverage,fuzzing",
        "max-examples": EXAMPLES,
        "seed": SEED,
        "workers": 1,
        "generation-database": "none",
        "warnings": "off",
        "suppress-health-check": "all",
    }
    command = [program, "run", str(path), *(f"--{name}={value}" for name, value in options.items())]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "FUZZ_ACCOUNT": service.account,
        "FUZZ_KEY": service.key,
        "FUZZ_IDS": json.dumps(ids),
    }
    return subprocess.run(command, cwd=path.parent, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
