"""A user that is on nodes of a pool for one login or one command, and is removed afterwards."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.endpoints import require_answer, require_endpoint
from airflow_provider_batchlinux.client.users.ledger import read_ledger
from airflow_provider_batchlinux.client.users.reconcile import AddUser, UserTarget, pool_of, reconcile
from airflow_provider_batchlinux.client.users.revoke import begin_ending, failed_records, revoke
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, counts_of
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome, UserRecord, failures_text
from airflow_provider_batchlinux.exceptions import NodeUsersError, PoolNotReadyError

log = logging.getLogger(__name__)

NAME_PREFIX = "af-"
"""The prefix of generated user names."""

TRY = "try_number"
"""The ledger's key for the try of a task that holds a temporary user."""


def generated_name() -> str:
    """Return a user name that is unique."""
    return NAME_PREFIX + secrets.token_hex(6)


@dataclass
class TemporaryUser:
    """
    A user that is on nodes of a pool for one login or one command.

    The pool's ledger has the user before the first node does, and until the last node no longer does.

    :param by: the holder, as the ledger has it. Another try of the same task instance removes what this one
        leaves behind when its worker dies.
    :param node_ids: the nodes; ``None`` for one node that :meth:`add_to_one` chooses.
    :param address: which address the records have.
    :param max_concurrency: requests in flight at most.
    """

    pool_id: str
    user: NodeUser
    by: Mapping[str, str]
    node_ids: list[str] | None = None
    address: AddressChoice = None
    max_concurrency: int = 1

    async def add(self, client: BatchLinuxClient) -> list[UserRecord]:
        """Add the user to its nodes, and return a record for each node, also for those that refuse."""
        await self._remove_earlier_tries(client)
        user = self.user
        entry = LedgerEntry(
            user.username, user.expires_at, self.by, user.fingerprint, user.is_admin, bool(user.password)
        )
        work = AddUser(user, entry, max_concurrency=self.max_concurrency, address=self.address)
        target = UserTarget(self.pool_id, NodeChoice(self.node_ids))
        return (await reconcile(client, target, await pool_of(client, target), work)).all_records

    async def add_to_one(
        self, client: BatchLinuxClient, *, answer_timeout: float | None = None
    ) -> UserRecord:
        """
        Add the user to one node: the given one, or else an idle node, or else one that runs tasks.

        :param answer_timeout: seconds within which the address must answer before the user is added; ``None``
            does not check that.
        :return: the node's record, which has an address.
        :raises PoolNotReadyError: no node is given, and none is idle or running.
        :raises NodeUsersError: the node has no such address, or does not accept the user.
        :raises BatchUnreachableError: nothing answers at the address.
        :raises BatchConflictError: another holder has a user with this name.
        """
        node_id = self.node_ids[0] if self.node_ids else await _pick_node(client, self.pool_id)
        body = await client.find_node_body(self.pool_id, node_id)
        if body is None:
            raise self._refusal(node_id, "the pool has no such node.", None)
        endpoint = await require_endpoint(client, self.pool_id, NodeSnapshot.from_rest(body), self.address)
        if answer_timeout is not None:
            await require_answer(endpoint, limit=answer_timeout)
        self.node_ids = [node_id]
        # The address is known, so adding the user need not look for it.
        (record,) = await replace(self, address="private").add(client)
        if not record.has_user:
            # Without an answer of the service the user may be on the node, and stays in the ledger.
            if record.code is not None or record.outcome is not UserOutcome.FAILED:
                await self._forget(client)
            raise self._refusal(node_id, record.error or f"the node is {record.state}.", record.code)
        return replace(record, address=endpoint.address, port=endpoint.port, public=endpoint.public)

    async def remove(self, client: BatchLinuxClient) -> bool:
        """
        Remove the user from its nodes and from the ledger. Nodes and pools that are gone are fine.

        :return: whether the ledger had the user.
        :raises NodeUsersError: some nodes may still have the user, and the ledger keeps it.
        """
        taken = await revoke(
            client,
            self.pool_id,
            self.user.username,
            self.by,
            node_ids=self.node_ids,
            max_concurrency=self.max_concurrency,
        )
        if failed := failed_records(taken.records if taken else []):
            msg = (
                f"User {self.user.username!r} could not be removed from pool {self.pool_id!r}: "
                f"{failures_text(failed)}"
            )
            codes = {record.node_id: record.code for record in failed}
            raise NodeUsersError(msg, failed=list(codes), codes=codes)
        if taken is not None and not taken.is_done:
            log.warning(
                "Pool %r: user %r is revoked, but a request that adds it may be in flight. The ledger keeps "
                "that, and an audit with revoke=True or the sweeper removes it.",
                self.pool_id, self.user.username,
            )  # fmt: skip
        return taken is not None

    async def _forget(self, client: BatchLinuxClient) -> None:
        """Take the user out of the ledger, because the service has refused it."""

        def may(found: LedgerEntry | None) -> LedgerEntry | None:
            return found if found is not None and dict(found.by) == dict(self.by) else None

        ending = await begin_ending(client, self.pool_id, self.user.username, may, by_holder=True)
        if ending is not None:
            await ending.settle(client, [])

    async def _remove_earlier_tries(self, client: BatchLinuxClient) -> None:
        if TRY not in self.by:
            return
        for entry in (await read_ledger(client, self.pool_id) or {}).values():
            is_same_task = {**entry.by, TRY: ""} == {**self.by, TRY: ""}
            if not entry.username.startswith(NAME_PREFIX) or not is_same_task or entry.by == self.by:
                continue
            log.warning("Pool %r: removing user %r, which an earlier try left.", self.pool_id, entry.username)
            taken = await revoke(
                client, self.pool_id, entry.username, entry, max_concurrency=max(16, self.max_concurrency)
            )
            if failed := failed_records(taken.records if taken else []):
                log.warning(
                    "Pool %r: user %r is still on %s", self.pool_id, entry.username, failures_text(failed)
                )

    def _refusal(self, node_id: str, reason: str, code: str | None) -> NodeUsersError:
        msg = (
            f"User {self.user.username!r} could not be added to node {node_id!r} of pool {self.pool_id!r}: "
            f"{reason}"
        )
        return NodeUsersError(msg, failed=[node_id], codes={node_id: code})


async def _pick_node(client: BatchLinuxClient, pool_id: str) -> str:
    nodes = await client.list_nodes(pool_id)
    for state in ("idle", "running"):
        for node in nodes:
            if node.state == state:
                return node.node_id
    counts = sorted(counts_of(nodes).items())
    found = ", ".join(f"{count} {state}" for state, count in counts) or "no nodes"
    msg = f"Pool {pool_id!r} has no idle or running node to log in to, but {found}. Name a node, or wait."
    raise PoolNotReadyError(msg, pool_id=pool_id)
