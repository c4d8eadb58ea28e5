"""What pools mount: a directory that stands in for it, or a node that says that there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions
from tests.emulator.conftest import Account

BLOBS = {"accountName": "store", "containerName": "data", "accountKey": "a2V5"}
SHARE = {
    "accountName": "store",
    "azureFileUrl": "https://store.file.core.windows.net/s",
    "accountKey": "a2V5",
}
CIFS = {"source": "//server/share", "username": "u", "password": "secret-1"}
KINDS: dict[str, tuple[dict[str, str], str]] = {
    "azureBlobFileSystemConfiguration": (BLOBS, "store/data"),
    "azureFileShareConfiguration": (SHARE, "https://store.file.core.windows.net/s"),
    "nfsMountConfiguration": ({"source": "10.0.0.4:/data"}, "10.0.0.4:/data"),
    "cifsMountConfiguration": (CIFS, "//server/share"),
}


def mounts() -> list[dict[str, Any]]:
    return [{kind: {**mount, "relativeMountPath": f"m/{kind}"}} for kind, (mount, _) in KINDS.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mount_without_a_directory_for_it_makes_nodes_unusable(account: Account, kind: str) -> None:
    (mount,) = (mount for mount in mounts() if kind in mount)
    account.create_pool(mountConfiguration=[mount])

    (node,) = account.wait_for_nodes("linux", "unusable")

    (error,) = node["errors"]
    assert error["code"] == "MountConfigurationError"
    told = {detail["name"]: detail["value"] for detail in error["errorDetails"]}
    assert told["MountConfigurationPath"] == f"m/{kind}"
    assert told["Message"] == (
        f"The embedded service cannot mount {KINDS[kind][1]!r}. Name a directory for it: --mount"
    )


def test_tasks_find_the_directories_that_stand_in_for_mounts(
    start: Callable[..., Account], tmp_path: Path
) -> None:
    directories = {source: tmp_path / kind for kind, (_, source) in KINDS.items()}
    for directory in directories.values():
        directory.mkdir()
        (directory / "in").write_text("x")
    account = start(mounts=directories)
    start_task = {
        "commandLine": "/bin/sh -c 'for d in $AZ_BATCH_NODE_MOUNTS_DIR/m/*; do cp $d/in $d/out; done'"
    }
    account.create_pool(mountConfiguration=mounts(), startTask=start_task)

    (node,) = account.wait_for_nodes("linux", "idle")
    account.send("POST", f"/pools/linux/nodes/{node['id']}/reboot")
    account.eventually(
        f"/pools/linux/nodes/{node['id']}",
        lambda again: again["state"] == "idle" and again["lastBootTime"] != node["lastBootTime"],
    )

    assert [(path / "out").read_text() for path in directories.values()] == ["x"] * len(KINDS)


def test_a_directory_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="mounts has '/nowhere' for 's', but this directory does not exist"):
        EmulatorOptions(mounts={"s": Path("/nowhere")})
