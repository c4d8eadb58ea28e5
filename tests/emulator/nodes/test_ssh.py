"""Logging in to nodes with the SSH client of the system and one in Python."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncssh
import pytest

needs_openssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs an OpenSSH client")
Login = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Give the file of a private key; the public one lies beside it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = tmp_path / "id"
    key.write_private_key(path)
    key.write_public_key(f"{path}.pub")
    path.chmod(0o600)
    return path


@pytest.fixture
def node(account: Any) -> dict[str, Any]:
    """Give an idle node that can be logged in to."""
    (node,) = account.open_pool()
    found: dict[str, Any] = node
    return found


@pytest.fixture
def add_user(account: Any) -> Callable[..., Any]:
    """Give a function that adds a user to a node."""

    def add(node: dict[str, Any], name: str = "etl", **user: Any) -> Any:
        path = f"/pools/linux/nodes/{node['id']}/users"
        return account.send("POST", path, {"name": name, **user})

    return add


@needs_openssh
def test_a_command_runs_on_the_node_and_gives_its_exit_status(
    node: dict[str, Any], add_user: Any, key_file: Path
) -> None:
    add_user(node, sshPublicKey=Path(f"{key_file}.pub").read_text())

    done = _ssh(node, key_file, "cat; echo $AZ_BATCH_NODE_ID $USER >&2; exit 7", given="from here")

    assert (done.returncode, done.stdout) == (7, "from here")
    assert done.stderr.split() == [node["id"], "etl"]


@needs_openssh
def test_a_shell_reads_what_it_is_sent(node: dict[str, Any], add_user: Any, key_file: Path) -> None:
    add_user(node, sshPublicKey=Path(f"{key_file}.pub").read_text())

    done = _ssh(node, key_file, given="cd /; echo $(pwd)\nexit 3\n")

    assert (done.returncode, done.stdout) == (3, "/\n")


@needs_openssh
def test_files_are_copied_to_the_home_and_nowhere_else(
    node: dict[str, Any], add_user: Any, key_file: Path, tmp_path: Path
) -> None:
    add_user(node, sshPublicKey=Path(f"{key_file}.pub").read_text())
    (tmp_path / "sent").write_text("hello")

    sent = _scp(node, key_file, str(tmp_path / "sent"), "etl@127.0.0.1:there")
    stolen = _scp(node, key_file, "etl@127.0.0.1:/etc/passwd", str(tmp_path / "stolen"))

    assert sent.returncode == 0
    assert _ssh(node, key_file, "cat there").stdout == "hello"
    assert stolen.returncode != 0
    assert not (tmp_path / "stolen").exists()


def test_a_link_does_not_lead_out_of_the_node(node: dict[str, Any], add_user: Any) -> None:
    add_user(node, password="secret")

    async def follow(connection: asyncssh.SSHClientConnection) -> None:
        await connection.run("ln -s /etc way-out", check=True)
        async with connection.start_sftp_client() as sftp:
            await sftp.listdir("way-out")

    with pytest.raises(asyncssh.SFTPPermissionDenied):
        _log_in(node, follow, password="secret")


def test_a_password_lets_its_user_in(node: dict[str, Any], add_user: Any) -> None:
    add_user(node, password="secret")

    assert _log_in(node, _whoami, password="secret") == "etl\n"


@pytest.mark.parametrize(
    ("name", "password"),
    [("etl", "Secret"), ("etl", ""), ("ETL", "secret"), ("root", "secret"), ("keyed", "")],
)
def test_other_users_are_refused(node: dict[str, Any], add_user: Any, name: str, password: str) -> None:
    add_user(node, password="secret")
    add_user(node, "keyed")

    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(node, _whoami, username=name, password=password)


def test_an_invalid_key_admits_no_login(node: dict[str, Any], add_user: Any) -> None:
    add_user(node, sshPublicKey="not a key")
    key = asyncssh.generate_private_key("ssh-ed25519")

    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(node, _whoami, client_keys=[key])


def test_a_replaced_user_has_the_new_password_only(account: Any, node: dict[str, Any], add_user: Any) -> None:
    add_user(node, password="old")
    path = f"/pools/linux/nodes/{node['id']}/users/etl"

    assert account.send("PUT", path, {"password": "new"}) == 200

    assert _log_in(node, _whoami, password="new") == "etl\n"
    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(node, _whoami, password="old")


def test_a_user_on_one_node_is_unknown_on_another(account: Any, add_user: Any) -> None:
    one, other = account.open_pool(nodes=2)
    add_user(one, password="secret")

    assert _log_in(one, _whoami, password="secret") == "etl\n"
    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(other, _whoami, password="secret")


def test_an_expired_user_is_put_out_and_kept_out(start: Any, wait_until_gone: Any) -> None:
    account = start(clock="manual")
    (node,) = account.open_pool()
    expiry = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    user = {"name": "etl", "password": "secret", "expiryTime": expiry}
    account.send("POST", f"/pools/linux/nodes/{node['id']}/users", user)

    async def outlive(connection: asyncssh.SSHClientConnection) -> int:
        process = await connection.create_process("echo $$; exec sleep 1000")
        number = int(await process.stdout.readline())
        await asyncio.to_thread(account.emulator.control.advance, 3700)
        await connection.wait_closed()
        return number

    number = _log_in(node, outlive, password="secret")

    wait_until_gone(number)
    with pytest.raises(asyncssh.PermissionDenied):
        _log_in(node, _whoami, password="secret")


def test_a_user_whose_expiry_is_put_off_stays(start: Any) -> None:
    account = start(clock="manual")
    (node,) = account.open_pool()
    path = f"/pools/linux/nodes/{node['id']}/users"
    soon, late = (datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (1, 3))
    user = {"password": "secret", "expiryTime": soon.isoformat()}
    account.send("POST", path, {"name": "etl", **user})
    account.send("PUT", f"{path}/etl", {**user, "expiryTime": late.isoformat()})

    async def outlive(connection: asyncssh.SSHClientConnection) -> str:
        await asyncio.to_thread(account.emulator.control.advance, 3700)
        return await _whoami(connection)

    assert _log_in(node, outlive, password="secret") == "etl\n"


def test_a_removed_user_is_put_out(account: Any, node: dict[str, Any], add_user: Any) -> None:
    add_user(node, password="secret")
    path = f"/pools/linux/nodes/{node['id']}/users/etl"

    async def outlive(connection: asyncssh.SSHClientConnection) -> None:
        await connection.create_process("sleep 1000")
        await asyncio.to_thread(account.send, "DELETE", path)
        await connection.wait_closed()

    _log_in(node, outlive, password="secret")


def test_a_node_that_is_down_refuses_connections(account: Any, node: dict[str, Any]) -> None:
    account.emulator.control.set_node("linux", node["id"], "unusable")

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", _port(node)))


def test_a_node_that_is_up_again_answers_on_its_old_port(
    account: Any, node: dict[str, Any], add_user: Any
) -> None:
    add_user(node, password="secret")
    path = f"/pools/linux/nodes/{node['id']}/reboot"

    account.send("POST", path, {"nodeRebootOption": "requeue"})
    account.wait_for_nodes("linux", "idle")

    assert _log_in(node, _whoami, password="secret") == "etl\n"


def test_a_client_that_leaves_in_the_handshake_harms_no_other(node: dict[str, Any], add_user: Any) -> None:
    add_user(node, password="secret")
    for _ in range(5):
        socket.create_connection(("127.0.0.1", _port(node))).close()

    assert _log_in(node, _whoami, password="secret") == "etl\n"


async def _whoami(connection: asyncssh.SSHClientConnection) -> str:
    done = await connection.run("echo $LOGNAME", check=True)
    return str(done.stdout)


def _log_in(node: dict[str, Any], work: Any, username: str = "etl", **options: Any) -> Any:
    async def connect() -> Any:
        options.setdefault("client_keys", None)
        async with asyncssh.connect(
            "127.0.0.1", _port(node), username=username, known_hosts=None, config=None, **options
        ) as connection:
            return await work(connection)

    return asyncio.run(asyncio.wait_for(connect(), 20))


def _port(node: dict[str, Any]) -> int:
    (endpoint,) = node["endpointConfiguration"]["inboundEndpoints"]
    port: int = endpoint["frontendPort"]
    return port


def _options(key_file: Path) -> list[str]:
    settings = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
    ]
    return ["-F", "none", "-i", str(key_file), *(f"-o{setting}" for setting in settings)]


def _ssh(
    node: dict[str, Any], key_file: Path, command: str | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    arguments = ["ssh", *_options(key_file), "-p", str(_port(node)), "etl@127.0.0.1"]
    return _run(arguments if command is None else [*arguments, command], given)


def _scp(node: dict[str, Any], key_file: Path, source: str, target: str) -> subprocess.CompletedProcess[str]:
    return _run(["scp", *_options(key_file), "-P", str(_port(node)), source, target])


def _run(arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=60, check=False)
