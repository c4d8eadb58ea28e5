"""One SSH connection to a node: host keys, login, a command with bounded output; knows no Batch service."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import paramiko

from airflow_provider_batchlinux.core.nodes.ssh_commands import OutputTail, guarded

log = logging.getLogger(__name__)

ACCEPT_NEW = "accept-new-for-this-run"
REFUSE = "refuse"

_LOOK = 0.25
"""Seconds between two looks at an exit status, whose arrival nothing announces."""

_CHUNK = 64 * 1024

_PAUSES = (1.0, 3.0)
"""Seconds before a login is tried again. When a node lets a new user in is not documented."""


class SessionLostError(Exception):
    """The connection to a node ended before the command did."""


class HostKeys:
    """
    Which host keys are taken.

    :param policy: ``"accept-new-for-this-run"`` takes the first key that an address shows, and then only that
        one; ``"refuse"`` takes what the worker's own known_hosts file has; any other text is the content of
        such a file.
    :raises ValueError: the text holds no key.
    """

    def __init__(self, policy: str) -> None:
        self._accepts_new = policy == ACCEPT_NEW
        self._reads_own = policy == REFUSE
        self._known = paramiko.HostKeys()
        if not (self._accepts_new or self._reads_own):
            self._read(policy)

    def apply(self, client: paramiko.SSHClient) -> None:
        """Have a client take these keys and no others."""
        if self._reads_own:
            client.load_system_host_keys()
        client.set_missing_host_key_policy(_Remember(self._known) if self._accepts_new else _Refuse())
        for host, keys in self._known.items():
            for kind, key in keys.items():
                client.get_host_keys().add(host, kind, key)

    def of(self, address: str, port: int) -> Any:
        """Return the host key of an address; ``None`` if it is not known."""
        # OpenSSH writes the port beside the host if it is not 22.
        name = address if port == paramiko.config.SSH_PORT else f"[{address}]:{port}"
        keys = self._known.lookup(name)
        return next(iter(keys.values()), None) if keys else None

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            entry: Any = paramiko.hostkeys.HostKeyEntry.from_line(line) if line.strip() else None
            for host in entry.hostnames if entry else ():
                self._known.add(host, entry.key.get_name(), entry.key)
        if not self._known.keys():
            msg = (
                f"host_keys is neither {ACCEPT_NEW!r} nor {REFUSE!r}, nor lines of a known_hosts file, such "
                "as '[203.0.113.5]:40000 ssh-ed25519 AAAA...'."
            )
            raise ValueError(msg)


class _Remember(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko is not annotated
    def __init__(self, known: paramiko.HostKeys) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        self._known.add(hostname, key.get_name(), key)
        client.get_host_keys().add(hostname, key.get_name(), key)


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko is not annotated
    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        msg = (
            f"The host key of {hostname} ({key.get_name()}) is not among those that host_keys allows. Add "
            f"it, or pass host_keys={ACCEPT_NEW!r}."
        )
        raise _HostKeyRefusedError(msg)


class _HostKeyRefusedError(paramiko.SSHException):  # type: ignore[misc]  # paramiko is not annotated
    """A host key is not among those that are taken, which trying again does not change."""


class NodeClient(paramiko.SSHClient):  # type: ignore[misc]  # paramiko is not annotated
    """
    An SSH client that says when it is closed.

    :param on_close: what is to be done then, once.
    """

    def __init__(self, on_close: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._on_close = on_close

    def close(self) -> None:
        """End the connection, then do what was asked for."""
        super().close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


@dataclass(frozen=True)
class Login:
    """
    Who logs in, and how.

    :param options: what :meth:`paramiko.SSHClient.connect` is to get besides.
    """

    username: str
    host_keys: HostKeys
    pkey: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    pauses: Sequence[float] = _PAUSES
    sleep: Callable[[float], None] = time.sleep

    def open(self, client: paramiko.SSHClient, address: str, port: int) -> None:
        """
        Connect a client, and try again when a node does not let the user in yet.

        :raises paramiko.SSHException: the node shows another host key, or does not let the user in.
        :raises OSError: it is not reached.
        """
        self.host_keys.apply(client)
        for pause in (*self.pauses, None):
            try:
                self._connect(client, address, port)
            except (paramiko.BadHostKeyException, _HostKeyRefusedError):
                raise
            except (paramiko.SSHException, EOFError, ConnectionResetError) as error:
                if pause is None:
                    raise
                log.info("%s:%s refuses the login (%s); retrying in %g s.", address, port, error, pause)
                self.sleep(pause)
            else:
                return

    def _connect(self, client: paramiko.SSHClient, address: str, port: int) -> None:
        # Neither an agent's keys nor the worker's own may get in where this user is meant to.
        fixed = {"allow_agent": False, "look_for_keys": False, "pkey": self.pkey}
        client.connect(address, port=port, username=self.username, **{**fixed, **self.options})


def private_key(text: str) -> Any:
    """Read an Ed25519 private key without a passphrase, in OpenSSH's form."""
    return paramiko.Ed25519Key.from_private_key(StringIO(text))


def run_command(
    client: paramiko.SSHClient,
    command: str,
    stdout: OutputTail,
    stderr: OutputTail,
    *,
    deadline: float | None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int | None:
    """
    Run a command that ends with the connection, and keep the end of what it prints.

    :param deadline: on the monotonic clock; ``None`` for no limit.
    :param is_stopped: returns whether to give up; called again and again.
    :return: its exit code; ``None`` when the time was over before.
    :raises SessionLostError: the connection ended before it did, or it was given up.
    :raises paramiko.SSHException: the node did not take the command.
    """
    transport = client.get_transport()
    if transport is None:
        msg = "The connection is closed."
        raise SessionLostError(msg)
    channel = transport.open_session()
    channel.exec_command(guarded(command))
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while not _is_over(channel):
            if is_stopped():
                msg = "It was given up before the command was over."
                raise SessionLostError(msg)
            left = _LOOK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            selector.select(min(left, _LOOK))
            _drain(channel, stdout, stderr)
    if not channel.exit_status_ready():
        msg = "The connection ended before the command did."
        raise SessionLostError(msg)
    code: int = channel.recv_exit_status()
    if code < 0:
        msg = "The node ended the session without an exit code."
        raise SessionLostError(msg)
    return code


def _drain(channel: paramiko.Channel, stdout: OutputTail, stderr: OutputTail) -> None:
    while channel.recv_ready():
        stdout.add(channel.recv(_CHUNK))
    while channel.recv_stderr_ready():
        stderr.add(channel.recv_stderr(_CHUNK))


def _is_over(channel: paramiko.Channel) -> bool:
    # A process that was left in the background may keep the output open, so the exit status is enough.
    if channel.recv_ready() or channel.recv_stderr_ready():
        return False
    return bool(channel.exit_status_ready() or channel.closed)
