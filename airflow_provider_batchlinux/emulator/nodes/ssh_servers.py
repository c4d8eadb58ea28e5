"""The SSH servers of nodes: which users may log in, and until when."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import asyncssh

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.ssh_sessions import NodeFiles, run_session
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.state.records import Node, NodeUser
from airflow_provider_batchlinux.emulator.state.state_file import StateFile
from airflow_provider_batchlinux.emulator.state.store import Store

FindUser = Callable[[str], NodeUser | None]
_HOST_KEY = "ssh host key"


def make_host_key() -> asyncssh.SSHKey:
    """Return a host key; all nodes of a service share one."""
    return asyncssh.generate_private_key("ssh-ed25519")


def host_key(state: StateFile | None) -> asyncssh.SSHKey | None:
    """
    Return the host key of the nodes, so that clients who know it are not alarmed by a restart.

    :return: ``None`` without a state file: then the first node that needs one may make it.
    """
    if state is None:
        return None
    kept = state.facts().get(_HOST_KEY)
    if kept is not None:
        return asyncssh.import_private_key(kept)
    key = make_host_key()
    state.keep_fact(_HOST_KEY, key.export_private_key().decode())
    return key


class NodeSshServer:
    """
    The SSH server of one node.

    Its port is taken when the node is created and kept for the node's life; logins are answered
    only while the door is open. The listener is a bare socket, and SSH starts with a connection,
    so that thousands of nodes cost little.

    :param find_user: gives the node's user of a name, who may have expired.
    :param port: the one to take if it is free; ``None`` takes any.
    """

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        host_key: asyncssh.SSHKey,
        find_user: FindUser,
        port: int | None = None,
    ) -> None:
        self.machine = machine
        self._clock = clock
        self._host_key = host_key
        self._find_user = find_user
        self._socket = _socket_at(port)
        self.port: int = self._socket.getsockname()[1]
        self._is_open = False
        self._logins: dict[str, set[asyncssh.SSHServerConnection]] = {}
        self._arrivals: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Answer connections from now on."""
        if not self._is_open:
            self._socket.listen()
            asyncio.get_running_loop().add_reader(self._socket, self._arrive)
            self._is_open = True

    def shut(self) -> None:
        """Refuse connections and end those that are open; the port stays taken."""
        if self._is_open:
            self._stop_listening()
            self._socket = loopback_socket(self.port)
            self._is_open = False

    def remove(self) -> None:
        """End everything and give the port back."""
        self._stop_listening()

    def admitted(self, name: str) -> NodeUser | None:
        """Return the user of a name who may log in now."""
        user = self._find_user(name)
        if user is None or user.name != name or user.expires <= self._clock.now():
            return None
        return user

    def logged_in(self, name: str, connection: asyncssh.SSHServerConnection) -> None:
        """Remember whose connection this is, to end it with the user."""
        self._logins.setdefault(name, set()).add(connection)

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        """Forget a connection that has ended."""
        for connections in self._logins.values():
            connections.discard(connection)

    def evict(self, name: str) -> None:
        """End the sessions of a user."""
        for connection in self._logins.pop(name, set()):
            connection.abort()

    def _stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for arrival in self._arrivals:
            arrival.cancel()
        for name in list(self._logins):
            self.evict(name)

    def _arrive(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = self._socket.accept()
            arrival = asyncio.get_running_loop().create_task(self._serve(connection))
            self._arrivals.add(arrival)
            arrival.add_done_callback(self._arrivals.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        # Clients that leave in the middle of the handshake are no failure of the node.
        with suppress(asyncssh.Error, OSError):
            await asyncssh.run_server(
                connection,
                server_factory=partial(_Gate, self),
                server_host_keys=[self._host_key],
                process_factory=partial(run_session, self.machine),
                sftp_factory=partial(NodeFiles, self.machine),
                allow_scp=True,
                encoding=None,
                config=None,
            )


def _socket_at(port: int | None) -> socket.socket:
    try:
        return loopback_socket(port or 0)
    except OSError:
        if port is None:
            raise
        return loopback_socket()


class _Gate(asyncssh.SSHServer):
    """Decides who comes in."""

    def __init__(self, door: NodeSshServer) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._connection is not None:
            self._door.left(self._connection)

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        user = self._door.admitted(username)
        if user is None or user.password is None:
            return False
        return hmac.compare_digest(user.password.encode(), password.encode())

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        user = self._door.admitted(username)
        if user is None or user.ssh_public_key is None:
            return False
        return key.public_data == _public_data(user.ssh_public_key)

    def auth_completed(self) -> None:
        if self._connection is not None:
            name = self._connection.get_extra_info("username")
            self._door.logged_in(name, self._connection)


def _public_data(text: str) -> bytes | None:
    try:
        return asyncssh.import_public_key(text).public_data
    except asyncssh.KeyImportError:
        return None


class SshServers:
    """
    The SSH servers of all nodes, and the users who may log in.

    :param host_key: what all nodes show; ``None`` makes one when it is first needed.
    """

    def __init__(self, store: Store, clock: Clock, host_key: asyncssh.SSHKey | None = None) -> None:
        self._store = store
        self._clock = clock
        self._host_key = host_key
        self._doors: dict[str, NodeSshServer] = {}
        self._expiries: dict[str, dict[str, Timer]] = {}

    def build(self, node: Node, machine: Machine) -> int:
        """Give a node a door, shut for now, and return its port: the one it had, if that is free."""
        self._host_key = self._host_key or make_host_key()
        door = NodeSshServer(
            machine,
            self._clock,
            self._host_key,
            lambda name: self._store.users(node).get(name),
            node.ssh_port,
        )
        self._doors[node.id] = door
        return door.port

    def open(self, node: Node) -> None:
        """Let the node's users in, if it has a door."""
        if node.id in self._doors:
            self._doors[node.id].open()

    def shut(self, node: Node) -> None:
        """Let nobody in, and end open sessions."""
        if node.id in self._doors:
            self._doors[node.id].shut()

    def remove(self, node: Node) -> None:
        """Take a node's door away."""
        self.forget_users(node)
        door = self._doors.pop(node.id, None)
        if door is not None:
            door.remove()

    def close(self) -> None:
        """Stop all SSH servers."""
        for door in self._doors.values():
            door.remove()
        self._doors.clear()

    def admit(self, node: Node, user: NodeUser) -> None:
        """Let a user in from now on until the user expires, in the place of one of that name."""
        self._store.put_user(node, user)
        self._set_expiry(node, user)

    def expel(self, node: Node, name: str) -> None:
        """Forget a user and end the user's sessions."""
        self._store.users(node).pop(name)
        self._cancel_expiry(node, name)
        self._end_sessions(node, name)

    def forget_users(self, node: Node) -> None:
        """Forget all users of a node, as its reinstallation does."""
        for timer in self._expiries.pop(node.id, {}).values():
            timer.cancel()
        self._store.forget_users(node)

    def _set_expiry(self, node: Node, user: NodeUser) -> None:
        self._cancel_expiry(node, user.name)
        left = (user.expires - self._clock.now()).total_seconds()
        timer = self._clock.call_later(max(0.0, left), lambda: self._end_sessions(node, user.name))
        self._expiries.setdefault(node.id, {})[user.name] = timer

    def _cancel_expiry(self, node: Node, name: str) -> None:
        timer = self._expiries.get(node.id, {}).pop(name, None)
        if timer is not None:
            timer.cancel()

    def _end_sessions(self, node: Node, name: str) -> None:
        if node.id in self._doors:
            self._doors[node.id].evict(name)
