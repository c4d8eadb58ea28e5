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
from airflow_provider_batchlinux.emulator.simulation.background import Background
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.state.records import Node, NodeUser
from airflow_provider_batchlinux.emulator.state.state_file import StateFile
from airflow_provider_batchlinux.emulator.state.store import Store

FindUser = Callable[[str], NodeUser | None]
_HOST_KEY = "ssh host key"


def make_host_key() -> asyncssh.SSHKey:
    """Return a new host key. All nodes of a service share one."""
    return asyncssh.generate_private_key("ssh-ed25519")


def host_key(state: StateFile | None) -> asyncssh.SSHKey | None:
    """
    Return the saved host key, so that clients that know it accept the nodes after a restart.

    :return: ``None`` without a state file.
    """
    if state is None:
        return None
    kept = state.settings().get(_HOST_KEY)
    if kept is not None:
        return asyncssh.import_private_key(kept)
    key = make_host_key()
    state.save_setting(_HOST_KEY, key.export_private_key().decode())
    return key


class NodeSshServer:
    """
    The SSH server of one node.

    Its port is reserved for the life of the node, and connections are accepted only while it is started. The
    listener is a plain socket, and SSH starts with a connection, so that thousands of nodes cost little.

    :param find_user: returns the user of a name, who may have expired.
    :param port: preferred port; ``None`` uses any.
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
        self._is_started = False
        self._connections: dict[str, set[asyncssh.SSHServerConnection]] = {}
        self._accepted = Background()

    def start(self) -> None:
        """Accept connections."""
        if not self._is_started:
            self._socket.listen()
            asyncio.get_running_loop().add_reader(self._socket, self._accept)
            self._is_started = True

    def stop(self) -> None:
        """Refuse connections and close existing ones. The port stays reserved."""
        if self._is_started:
            self._stop_listening()
            self._socket = loopback_socket(self.port)
            self._is_started = False

    def close(self) -> None:
        """Close all connections and release the port."""
        self._stop_listening()

    def valid_user(self, name: str) -> NodeUser | None:
        """Return the user of a name, if the user exists and has not expired."""
        user = self._find_user(name)
        if user is None or user.name != name or user.expires <= self._clock.now():
            return None
        return user

    def add_connection(self, name: str, connection: asyncssh.SSHServerConnection) -> None:
        """Register the connection of a user, so that it can be closed with the user."""
        self._connections.setdefault(name, set()).add(connection)

    def remove_connection(self, connection: asyncssh.SSHServerConnection) -> None:
        """Forget a closed connection."""
        for connections in self._connections.values():
            connections.discard(connection)

    def disconnect(self, name: str) -> None:
        """Close the connections of a user."""
        for connection in self._connections.pop(name, set()):
            connection.abort()

    def _stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._accepted.cancel()
        for name in list(self._connections):
            self.disconnect(name)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = self._socket.accept()
            self._accepted.start(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        # Clients may disconnect during the handshake.
        with suppress(asyncssh.Error, OSError):
            await asyncssh.run_server(
                connection,
                server_factory=partial(_Authentication, self),
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


class _Authentication(asyncssh.SSHServer):
    """Authenticates the users of one connection."""

    def __init__(self, server: NodeSshServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._connection is not None:
            self._server.remove_connection(self._connection)

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        user = self._server.valid_user(username)
        if user is None or user.password is None:
            return False
        return hmac.compare_digest(user.password.encode(), password.encode())

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        user = self._server.valid_user(username)
        if user is None or user.ssh_public_key is None:
            return False
        return key.public_data == _public_data(user.ssh_public_key)

    def auth_completed(self) -> None:
        if self._connection is not None:
            name = self._connection.get_extra_info("username")
            self._server.add_connection(name, self._connection)


def _public_data(text: str) -> bytes | None:
    try:
        return asyncssh.import_public_key(text).public_data
    except asyncssh.KeyImportError:
        return None


class SshServers:
    """
    The SSH servers of all nodes, and the logins of their users.

    :param host_key: host key of all nodes; ``None`` creates one when it is first needed.
    """

    def __init__(self, store: Store, clock: Clock, host_key: asyncssh.SSHKey | None = None) -> None:
        self._store = store
        self._clock = clock
        self._host_key = host_key
        self._servers: dict[str, NodeSshServer] = {}
        self._expiries: dict[str, dict[str, Timer]] = {}

    def create(self, node: Node, machine: Machine) -> int:
        """Create a node's server, and return its port: the earlier one, if it is free."""
        self._host_key = self._host_key or make_host_key()
        server = NodeSshServer(
            machine,
            self._clock,
            self._host_key,
            lambda name: self._store.users(node).get(name),
            node.ssh_port,
        )
        self._servers[node.id] = server
        return server.port

    def start(self, node: Node) -> None:
        """Start a node's server, if it has one."""
        if node.id in self._servers:
            self._servers[node.id].start()

    def stop(self, node: Node) -> None:
        """Stop a node's server, if it has one, and close its connections."""
        if node.id in self._servers:
            self._servers[node.id].stop()

    def remove(self, node: Node) -> None:
        """Remove a node's server and users."""
        self.delete_users(node)
        server = self._servers.pop(node.id, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """Close all servers."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def add_login(self, node: Node, user: NodeUser) -> None:
        """Add a user, or replace the user of that name. The user can log in until the expiry time."""
        self._store.put_user(node, user)
        self._set_expiry(node, user)

    def remove_login(self, node: Node, name: str) -> None:
        """Remove a user, and close the user's connections."""
        self._store.users(node).pop(name)
        self._cancel_expiry(node, name)
        self._end_sessions(node, name)

    def delete_users(self, node: Node) -> None:
        """Remove all users of a node."""
        for timer in self._expiries.pop(node.id, {}).values():
            timer.cancel()
        self._store.delete_users(node)

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
        if node.id in self._servers:
            self._servers[node.id].disconnect(name)
