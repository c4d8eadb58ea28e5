"""What is left of a service that is killed: nothing, whatever its nodes were running."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncssh
import pytest
from azure.batch import models

HIDING = {
    "child": "sleep 1000 & echo $! > pid; wait",
    "own-session": "setsid sh -c 'echo $$ > pid; exec sleep 1000'",
    "elsewhere": "cd /; setsid sh -c 'echo $$ > $AZ_BATCH_TASK_WORKING_DIR/pid; exec sleep 1000'",
    "no-environment": "env -i setsid sh -c 'echo $$ > pid; exec sleep 1000'",
    "no-mark": "echo $$ > pid; cd /; exec env -i sleep 1000 > /dev/null 2>&1",
}
"""What a start task may do to escape; all but the last leave a mark, and that one shares its session."""


@pytest.fixture
def run(tmp_path: Path, pool: Any, wait: Any) -> Any:
    """Give a function that lets a start task run a script, and returns the id of the process it names."""

    def start(service: Any, script: str) -> int:
        (tmp_path / "script").write_text(script)
        start_task = models.BatchStartTask(command_line=f"/bin/sh -c 'sh {tmp_path}/script; true'")
        with service.client as client:
            client.create_pool(pool(start_task=start_task))
        texts = wait(lambda: _pids(tmp_path), lambda found: [text[-1:] for text in found] == ["\n"])
        return int(texts[0])

    return start


def _pids(root: Path) -> list[str]:
    return [path.read_text() for path in root.glob("*/nodes/*/*/startup/wd/pid")]


@pytest.mark.parametrize("script", [pytest.param(script, id=name) for name, script in HIDING.items()])
def test_no_process_directory_or_port_is_left_of_a_killed_service(
    launch: Any, run: Any, script: str, tmp_path: Path, wait: Any, wait_until_gone: Any
) -> None:
    service = launch("--root", str(tmp_path))
    number = run(service, script)

    service.kill()

    wait_until_gone(number)
    wait(lambda: [path.name for path in tmp_path.iterdir()], lambda names: names == ["script"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(service.facts["endpoint"]).port))


def test_of_a_killed_service_with_a_state_only_the_files_are_left(
    service: Any, run: Any, tmp_path: Path, wait_until_gone: Any
) -> None:
    number = run(service, HIDING["own-session"])

    service.kill()

    wait_until_gone(number)
    assert _pids(tmp_path) == [f"{number}\n"]


def test_the_next_service_waits_until_the_one_before_is_cleared_up(
    service: Any, run: Any, tmp_path: Path, wait: Any, wait_until_gone: Any
) -> None:
    before = run(service, HIDING["own-session"])

    service.restart()

    wait_until_gone(before)
    after = wait(lambda: _pids(tmp_path), lambda texts: texts not in ([f"{before}\n"], [""]))
    assert Path("/proc", after[0].strip()).exists()


def test_a_shell_of_a_killed_service_is_gone(
    service: Any, ssh_network: Any, tmp_path: Path, wait_until_gone: Any
) -> None:
    (node,) = service.make_pool(network_configuration=ssh_network)
    with service.client as client:
        user = models.BatchNodeUserCreateOptions(name="etl", password="secret")
        client.create_node_user("linux", node.id, user)
        port = client.get_node_remote_login_settings("linux", node.id).remote_login_port

    numbers = asyncio.run(asyncio.wait_for(_shell_until_killed(port, service), 20))

    for number in numbers:
        wait_until_gone(number)


async def _shell_until_killed(port: int, service: Any) -> list[int]:
    """Log in and start things, kill the service meanwhile, and return what ran."""
    options: dict[str, Any] = {
        "username": "etl",
        "password": "secret",
        "client_keys": None,
        "known_hosts": None,
    }
    async with asyncssh.connect("127.0.0.1", port, config=None, **options) as connection:
        shell = await connection.create_process("cd /; setsid sleep 1000 & echo $$ $!; wait")
        line = await shell.stdout.readline()
        await asyncio.to_thread(service.kill)
    return [int(word) for word in line.split()]
