"""The scenario of ``az batch account`` and ``az batch application``. Argument: the program ``az``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.clients.command_line import eventually

POOL = (
    "--id linux --vm-size standard_d2s_v5 --target-dedicated-nodes 1 --application-package-references tools "
    "--image canonical:ubuntu-24_04-lts:server --node-agent-sku-id"
)


def main(program: str) -> None:
    """Log in as a service principal, make application packages, and run one on a node."""
    words = shlex.split(Path("env").read_text())
    variables = dict(word.partition("=")[::2] for word in words if word != "export")
    # Everything but the secrets of the data plane: those, too, come from the management plane.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_BATCH")}
    environment["REQUESTS_CA_BUNDLE"] = variables["BATCHLINUX_EMULATOR_CA"]

    def az(command: str, *more: str) -> Any:
        words = [program, *command.split(), *more, "--output", "json"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    az("config set core.instance_discovery=false")
    url = variables["BATCHLINUX_EMULATOR_MANAGEMENT_URL"]
    az("cloud register --name batchlinux --endpoint-resource-manager", url)
    az("cloud set --name batchlinux")
    names = ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"]
    client, secret, tenant = (variables[name] for name in names)
    az(f"login --service-principal --username {client} --password={secret} --tenant {tenant}")

    account = f"-g {variables['BATCHLINUX_EMULATOR_RESOURCE_GROUP']} -n {variables['AZURE_BATCH_ACCOUNT']}"
    assert [found["name"] for found in az("batch account list")] == [variables["AZURE_BATCH_ACCOUNT"]]
    assert az(f"batch account keys list {account}")["primary"] == variables["AZURE_BATCH_ACCESS_KEY"]
    az(f"batch account login {account}")

    make_packages(az, account)
    run_package(az)


def make_packages(az: Any, account: str) -> None:
    """Make, activate, list and delete applications and packages."""
    with zipfile.ZipFile("tools.zip", "w") as package:
        package.writestr("data.txt", "from the package\n")
    az(f"batch application create {account} --application-name tools")
    version = "--application-name tools --version-name"
    made = az(f"batch application package create {account} {version} 1.2 --package-file tools.zip")
    assert (made["state"], made["format"]) == ("Active", "zip")
    az(f"batch application package create {account} {version} 1.3 --package-file tools.zip")
    az(f"batch application package activate {account} {version} 1.2 --format zip")
    az(
        f"batch application set {account} --application-name tools --default-version 1.2",
        "--display-name",
        "Tools",
    )
    shown = az(f"batch application show {account} --application-name tools")
    assert (shown["displayName"], shown["defaultVersion"]) == ("Tools", "1.2")
    az(f"batch application package delete {account} {version} 1.3 --yes")
    packages = az(f"batch application package list {account} --application-name tools")
    assert [package["name"] for package in packages] == ["1.2"]
    # This one makes its application, too.
    other = "--application-name other --version-name 1 --package-file tools.zip"
    az(f"batch application package create {account} {other}")
    az(f"batch application package delete {account} --application-name other --version-name 1 --yes")
    az(f"batch application delete {account} --application-name other --yes")
    assert [found["name"] for found in az(f"batch application list {account}")] == ["tools"]


def run_package(az: Any) -> None:
    """Read the package on a node, with the token of the login."""
    assert [found["id"] for found in az("batch application summary list")] == ["tools"]
    az(f"batch pool create {POOL}", "batch.node.ubuntu 24.04")
    az("batch job create --id job --pool-id linux")
    command = '/bin/sh -c "cat $AZ_BATCH_APP_PACKAGE_tools/data.txt"'
    az("batch task create --job-id job --task-id task --command-line", command)
    eventually(lambda: az("batch task show --job-id job --task-id task")["state"] == "completed")
    file = "--job-id job --task-id task --file-path stdout.txt --destination ./out.txt"
    az(f"batch task file download {file}")
    assert Path("out.txt").read_text() == "from the package\n"


if __name__ == "__main__":
    main(sys.argv[1])
