"""Run the scenario of each client on a new embedded service. Argument: the directory of environments."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.embedded_service import embedded_service

HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Return 0 if all scenarios pass."""
    environments = Path(arguments[0]).resolve()
    az = str(environments / "cli/bin/az")
    scenarios = {
        "azure-batch 14.2": [str(environments / "msrest/bin/python"), str(HERE / "azure_batch_14.py")],
        "azure-cli": [sys.executable, str(HERE / "command_line.py"), az],
        "azure-cli, management": [sys.executable, str(HERE / "command_line_management.py"), az],
        "@azure/batch": ["node", str(HERE / "javascript.js")],
    }
    modules = str(environments / "javascript/node_modules")
    results = {name: _run(command, modules) for name, command in scenarios.items()}
    for name, result in results.items():
        print(f"{name:24} {'passed' if result == 0 else f'failed with exit code {result}'}")
    return int(any(results.values()))


def _run(command: list[str], modules: str) -> int:
    with tempfile.TemporaryDirectory(prefix="batchlinux-clients-") as name:
        # The scenario of the management plane reads the variables of this file, as its users do.
        secure = {"tls": f"{name}/tls", "write-env": f"{name}/env"} if "management" in command[1] else {}
        with embedded_service(None, **secure) as service:
            environment = {
                **os.environ,
                "AZURE_BATCH_ACCOUNT": service.account,
                "AZURE_BATCH_ACCESS_KEY": service.key,
                "AZURE_BATCH_ENDPOINT": service.endpoint,
                "AZURE_CONFIG_DIR": f"{name}/azure",
                "AZURE_CORE_COLLECT_TELEMETRY": "false",
                "NODE_PATH": modules,
            }
            return subprocess.run(command, env=environment, cwd=name, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
