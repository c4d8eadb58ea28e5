"""Which nodes can be logged in to, by whom and until when."""

from __future__ import annotations

import asyncssh

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.ssh import NodeSshServer, make_host_key
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.state.records import Node, NodeUser
from airflow_provider_batchlinux.emulator.state.store import Store

__all__ = ["Doors"]


class Doors:
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
