"""Add and remove a temporary user from synchronous code, for SSH hooks, operators and the command line."""

from __future__ import annotations

import getpass
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import get_current_context

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.users.user import NodeUser
from airflow_provider_batchlinux.exceptions import BatchLinuxError

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.users.temporary import TemporaryUser
    from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
    from airflow_provider_batchlinux.core.users.user import UserRecord
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook, BatchLinuxSession

T = TypeVar("T")

log = logging.getLogger(__name__)

_CLEAN_UP_BUDGET = 60.0
"""Seconds: a login must not take minutes to end, and the ledger keeps what is left."""


@dataclass
class TemporaryLogin:
    """
    A temporary user, with what is needed to add and to remove it.

    :param settings: the account. It is read in advance: a task that a signal ends can no longer read it.
    :param private_key: the private half of the user's key; empty if the caller has it.
    :param session: the caller's session for all requests; ``None`` opens a client for each step, so that a
        signal handler can remove the user while the step that it interrupts is running.
    """

    hook: BatchLinuxHook
    settings: AccountSettings
    user: TemporaryUser
    private_key: str = field(default="", repr=False)
    session: BatchLinuxSession | None = None

    @classmethod
    def with_generated_key(
        cls,
        hook: BatchLinuxHook,
        pool_id: str,
        *,
        expires_at: datetime,
        node_ids: list[str] | None = None,
        is_admin: bool = False,
        address: AddressChoice = None,
        max_concurrency: int = 1,
        session: BatchLinuxSession | None = None,
    ) -> TemporaryLogin:
        """
        Prepare a user with a unique name and a new key. No request is made.

        :param node_ids: the nodes; ``None`` for one that is free.
        :param session: as for the class.
        :raises ValueError: the pool's id is wrong, or the connection.
        :raises BatchLinuxError: Airflow neither returns nor stores the id of the installation.
        """
        from airflow_provider_batchlinux.client.users.generated_keys import KeyPair
        from airflow_provider_batchlinux.client.users.temporary import TemporaryUser, generated_name

        if problems := id_problems("pool_id", pool_id):
            raise ValueError("\n".join(problems))
        pair = KeyPair.generate()
        user = NodeUser(generated_name(), expires_at, ssh_public_key=pair.public_line, is_admin=is_admin)
        temporary = TemporaryUser(pool_id, user, holder(hook), node_ids, address, max_concurrency)
        settings = session.settings if session is not None else hook.settings()
        return cls(hook, settings, temporary, pair.private_text, session)

    def add(self) -> list[UserRecord]:
        """Add the user to its nodes, and return a record for each node, also for those that refuse."""
        return self._run(self.user.add)

    def add_to_one(self, *, answer_timeout: float | None = None) -> UserRecord:
        """Add the user to one node, as :meth:`TemporaryUser.add_to_one` does."""
        return self._run(lambda client: self.user.add_to_one(client, answer_timeout=answer_timeout))

    def remove(self) -> bool:
        """
        Remove the user, also if it is uncertain whether it was added.

        :return: whether the ledger had the user.
        :raises BatchLinuxError: some nodes may still have the user, and the ledger keeps it.
        """
        if self.user.node_ids is None:
            return False
        return self._run(lambda client: self.user.remove(client.within(_CLEAN_UP_BUDGET)))

    def close(self) -> None:
        """Remove the user. Log a failure instead of raising it: the work on the node is done."""
        try:
            self.remove()
        except BatchLinuxError as error:
            log.warning(
                "%s\nThe user stays in the ledger of pool %r until %s.",
                error, self.user.pool_id, self.user.user.expires_at.isoformat(),
            )  # fmt: skip

    def _run(self, work: Callable[[BatchLinuxClient], Awaitable[T]]) -> T:
        if self.session is not None:
            return self.session.run(work)
        return self.hook.run(work, settings=self.settings)


def holder(hook: BatchLinuxHook) -> Mapping[str, str]:
    """
    Return the holder of a user for the ledger: the task instance with its try, else a person.

    :param hook: returns the id of the installation, which the sweeper looks for.
    """
    from airflow_provider_batchlinux.client.users.temporary import TRY

    context = task_context()
    if context is None:
        who = {"person": getpass.getuser(), "host": socket.gethostname(), "process": str(os.getpid())}
        return {**who, "session": secrets.token_hex(3)}
    ti: Any = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "map_index": str(getattr(ti, "map_index", -1)),
        "installation": hook.installation_id(),
        "task_id": ti.task_id,
        TRY: str(ti.try_number),
    }


def task_context() -> Any:
    """Return the context of the current task; ``None`` outside of one."""
    try:
        return get_current_context()
    except RuntimeError:
        return None
