"""The scenario of ``az batch``. Argument: the program ``az``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 120.0
POOL = (
    "--id linux --vm-size standard_d2s_v5 --target-dedicated-nodes 1 "
    "--image canonical:ubuntu-24_04-lts:server --node-agent-sku-id"
)


def main(program: str) -> None:
    """Create a pool, run a task on it, read its output, change and delete everything."""

    def az(command: str, *more: str) -> Any:
        words = [program, "batch", *command.split(), *more, "--output", "json"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    az(f"pool create {POOL}", "batch.node.ubuntu 24.04")
    eventually(lambda: [node["state"] for node in az("node list --pool-id linux")] == ["idle"])
    az("job create --id job --pool-id linux")
    az("task create --job-id job --task-id task --command-line", "/bin/echo hello")
    eventually(lambda: az("task show --job-id job --task-id task")["state"] == "completed")
    az("task file download --job-id job --task-id task --file-path stdout.txt --destination ./out.txt")
    assert Path("out.txt").read_text() == "hello\n"
    (node,) = az("node list --pool-id linux")
    user = f"--pool-id linux --node-id {node['id']}"
    az(f"node user create {user} --name etl --password s3cret-Pw")
    az(f"node user delete {user} --user-name etl --yes")
    az("pool resize --pool-id linux --target-dedicated-nodes 0")
    eventually(lambda: az("pool show --pool-id linux")["allocationState"] == "steady")
    missing = subprocess.run(
        [program, "batch", "pool", "show", "--pool-id", "missing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PoolNotFound" in missing.stderr, missing.stderr
    az("job delete --job-id job --yes")
    az("pool delete --pool-id linux --yes")
    eventually(lambda: az("pool list") == [] and az("job list") == [])


def eventually(holds: Callable[[], bool]) -> None:
    """Return when something holds."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"Not so after {LIMIT:g} s."


if __name__ == "__main__":
    main(sys.argv[1])
