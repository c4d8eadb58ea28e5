"""A user that is made for one connection to one node, and taken off when that ends; knows no SSH."""

from __future__ import annotations

import getpass
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.instants import Duration, expiry_of
from airflow_provider_batchlinux.core.users.user import NodeUser
from airflow_provider_batchlinux.exceptions import BatchLinuxError

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.users.nodes import Address
    from airflow_provider_batchlinux.core.snapshots import Endpoint
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

__all__ = ["EphemeralLogin", "holder", "task_context"]

log = logging.getLogger(__name__)

_CLEAN_UP_BUDGET = 60.0
"""Seconds: a task that is over or killed does not wait for minutes, and the ledger knows what is left."""


class EphemeralLogin:
    """
    A user that is made for one connection to one node.

    :param node_id: the node; ``None`` for one that is free.
    :raises ValueError: the arguments are wrong; nothing was called.
    """

    def __init__(
        self,
        hook: BatchLinuxHook,
        pool_id: str,
        node_id: str | None,
        *,
        expires_in: Duration,
        is_admin: bool = False,
        address: Address | None = None,
    ) -> None:
        from airflow_provider_batchlinux.client.users.ephemeral import ephemeral_name
        from airflow_provider_batchlinux.client.users.generated_keys import KeyPair

        if problems := id_problems("pool_id", pool_id):
            raise ValueError("\n".join(problems))
        pair = KeyPair.generate()
        self.private_text = pair.private_text
        self.user = NodeUser(
            ephemeral_name(),
            expiry_of(expires_in, None, datetime.now(timezone.utc)),
            ssh_public_key=pair.public_line,
            is_admin=is_admin,
        )
        self.pool_id, self.node_id, self.address = pool_id, node_id, address
        self.by = holder()
        self._hook = hook
        self._settings: AccountSettings | None = None

    def begin(self, *, answer_timeout: float | None = None) -> Endpoint:
        """
        Put the user on the node, and say where that is.

        :param answer_timeout: seconds in which the address has to answer before; ``None`` does not look.
        """
        # Read now: it cannot be read any more when a signal ends the task.
        self._settings = self._hook.settings()
        return self._hook.run(lambda client: self._begin(client, answer_timeout), settings=self._settings)

    def end(self) -> None:
        """Take the user off its node, also when it is not sure that it was ever put there."""
        from airflow_provider_batchlinux.client.users.short_login import remove_login

        if self._settings is None or self.node_id is None:
            return
        node_id = self.node_id
        hasty = replace(self._settings, retry_budget=min(self._settings.retry_budget, _CLEAN_UP_BUDGET))
        try:
            self._hook.run(
                lambda client: remove_login(client, self.pool_id, node_id, self.user.username, self.by),
                settings=hasty,
            )
        except BatchLinuxError as error:
            # Not raised: what was done on the node is done, and the ledger knows what is left.
            log.warning(
                "%s\nIt stays in the pool's ledger until %s.", error, self.user.expires_at.isoformat()
            )

    async def _begin(self, client: BatchLinuxClient, answer_timeout: float | None) -> Endpoint:
        from airflow_provider_batchlinux.client.nodes.endpoints import node_endpoint, require_answer
        from airflow_provider_batchlinux.client.users.ephemeral import clear_leftovers
        from airflow_provider_batchlinux.client.users.short_login import add_login, pick_node
        from airflow_provider_batchlinux.core.snapshots import NodeSnapshot

        node_id = self.node_id or await pick_node(client, self.pool_id)
        body = await client.find_node_body(self.pool_id, node_id)
        node = NodeSnapshot.from_rest(body or {"id": node_id})
        endpoint = await node_endpoint(client, self.pool_id, node, self.address)
        if answer_timeout is not None:
            await require_answer(endpoint, timeout=answer_timeout)
        await clear_leftovers(client, self.pool_id, self.by)
        self.node_id = node_id
        way: Address = "public" if endpoint.public else "private"
        await add_login(client, self.pool_id, node_id, self.user, self.by, address=way)
        log.info(
            "User %r is on node %r of pool %r, at %s:%s, while this connection lasts.",
            self.user.username, node_id, self.pool_id, endpoint.address, endpoint.port,
        )  # fmt: skip
        return endpoint


def holder() -> Mapping[str, str]:
    """Say for the ledger who holds a user: the task instance with its try, or a person outside of one."""
    from airflow_provider_batchlinux.client.users.ephemeral import TRY

    context = task_context()
    if context is None:
        who = {"person": getpass.getuser(), "host": socket.gethostname(), "process": str(os.getpid())}
        return {**who, "session": secrets.token_hex(3)}
    ti: Any = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "map_index": str(getattr(ti, "map_index", -1)),
        "task_id": ti.task_id,
        TRY: str(ti.try_number),
    }


def task_context() -> Any:
    """Give the context of the task that runs here; ``None`` outside of one."""
    try:
        return get_current_context()
    except RuntimeError:
        return None
