"""One command on many nodes over SSH, concurrently, with a record for each; knows no Batch service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import paramiko

from airflow_provider_batchlinux.core.nodes.ssh_commands import CommandOutcome, CommandRecord, OutputTail
from airflow_provider_batchlinux.hooks._ssh_connection import Login, NodeClient, SessionLostError, run_command

_LOOK = 0.25
"""Seconds."""

_STOPPED = "The task was ended before."


@dataclass(frozen=True)
class NodeAddress:
    """A node, and where it is logged in to."""

    node_id: str
    address: str
    port: int


@dataclass
class NodeCommands:
    """
    Run a command on nodes, on a bounded number of them concurrently.

    :param timeout: seconds that a node gets from its login on.
    :param output_limit: bytes to keep of the end of each node's output and of its errors.
    :param clock: seconds, monotonic.
    """

    login: Login
    command: str
    timeout: float
    output_limit: int
    clock: Callable[[], float] = time.monotonic
    _open: set[NodeClient] = field(default_factory=set, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def run(self, nodes: Iterable[NodeAddress], *, max_concurrency: int) -> list[CommandRecord]:
        """Run it on all nodes, and give a record for each, in their order."""
        with ThreadPoolExecutor(max_workers=max_concurrency, thread_name_prefix="node-command") as threads:
            try:
                begun = [threads.submit(self._on, node) for node in nodes]
                # In short waits: a signal whose handler is to stop this can come to another thread, and does
                # not end a wait of this one then.
                while wait(begun, timeout=_LOOK).not_done:
                    pass
                return [each.result() for each in begun]
            except BaseException:
                # Such as Airflow's time-out of the task: leaving the pool of threads would wait for them all.
                self.stop()
                raise

    def stop(self) -> None:
        """Close all connections, which ends the commands, and open no more; fit for a signal handler."""
        self._is_stopped = True
        for client in list(self._open):
            client.close()

    def _on(self, node: NodeAddress) -> CommandRecord:
        if self._is_stopped:
            return CommandRecord(node.node_id, CommandOutcome.STOPPED, error=_STOPPED)
        stdout, stderr = OutputTail(self.output_limit), OutputTail(self.output_limit)
        began = self.clock()
        exit_code, outcome, error = self._ended(node, stdout, stderr)
        return CommandRecord(
            node.node_id,
            outcome,
            exit_code,
            stdout.text(),
            stderr.text(),
            seconds=round(self.clock() - began, 3),
            error=error,
        )

    def _ended(
        self, node: NodeAddress, stdout: OutputTail, stderr: OutputTail
    ) -> tuple[int | None, CommandOutcome, str | None]:
        try:
            code = self._connected(node, stdout, stderr)
        except (paramiko.SSHException, SessionLostError, OSError, EOFError) as error:
            if self._is_stopped:
                return None, CommandOutcome.STOPPED, _STOPPED
            what = str(error) or type(error).__name__
            return None, CommandOutcome.UNREACHABLE, f"{node.address}:{node.port}: {what}"
        if code is None:
            return None, CommandOutcome.TIMED_OUT, f"It was not over after {self.timeout:g} s, and was ended."
        return code, CommandOutcome.FAILED if code else CommandOutcome.SUCCEEDED, None

    def _connected(self, node: NodeAddress, stdout: OutputTail, stderr: OutputTail) -> int | None:
        deadline = self.clock() + self.timeout
        client = NodeClient()
        self._open.add(client)
        try:
            self.login.open(client, node.address, node.port)
            if self._is_stopped:
                raise SessionLostError(_STOPPED)
            # Asked as well as closed: closing a session waits for its thread, which may be slow to notice.
            return run_command(
                client, self.command, stdout, stderr, deadline=deadline, is_stopped=lambda: self._is_stopped
            )
        finally:
            self._open.discard(client)
            client.close()
