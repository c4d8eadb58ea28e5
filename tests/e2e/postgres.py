"""A PostgreSQL server for Airflow's database, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.polling import until

__all__ = ["running_postgres"]

_USER = "airflow"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server with an empty database on a free port of the loopback; give the URL of the database."""
    # Not in pytest's folder, which no other user may enter: the server refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="batchlinux-postgres-") as folder:
        data = Path(folder) / "data"
        _give_away(Path(folder))
        _run("initdb", "--pgdata", str(data), "--username", _USER, "--auth", "trust", "--encoding", "UTF8")
        port = _free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server = _start("postgres", "-D", str(data), "-p", str(port), *options)
        try:
            until(lambda: _answers(port), "PostgreSQL to answer", limit=30)
            _run("createdb", "--host", "127.0.0.1", "--port", str(port), "--username", _USER, _USER)
            yield f"postgresql+psycopg2://{_USER}@127.0.0.1:{port}/{_USER}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _program(name: str) -> str:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(installed[-1]) if installed else None)
    assert found, f"PostgreSQL is not installed: there is no {name}. Install the package postgresql."
    return found


def _start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    line = [_program(name), *arguments]
    quiet = subprocess.DEVNULL
    if os.geteuid() != 0:
        return subprocess.Popen(line, stdout=quiet, stderr=quiet, cwd="/")
    user, group = _unprivileged()
    return subprocess.Popen(
        line, stdout=quiet, stderr=quiet, cwd="/", user=user, group=group, extra_groups=[]
    )


def _unprivileged() -> tuple[int, int]:
    user = pwd.getpwnam("daemon")
    return user.pw_uid, user.pw_gid


def _run(name: str, *arguments: str) -> None:
    code = _start(name, *arguments).wait()
    assert code == 0, f"{name} ended with exit code {code}."


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, *_unprivileged())


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
