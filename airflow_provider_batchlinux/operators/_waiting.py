"""What operators share that act on one pool, and of these, that wait until it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.core.ids import require_id
from airflow_provider_batchlinux.core.instants import Duration, seconds_of
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    BatchLinuxBaseOperator,
    deadline_of,
    defer_to,
    result_of,
)
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

__all__ = ["DEFAULT_DEFERRABLE", "BatchLinuxPoolOperator", "BatchLinuxWaitingOperator"]

DEFAULT_DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)
"""Whether operators wait on the triggerer unless they are told otherwise."""


class BatchLinuxPoolOperator(BatchLinuxBaseOperator):
    """
    The base of the operators that act on one pool, and link to it.

    :param pool_id: the pool's id. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxBaseOperator.template_fields, "pool_id")
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#d8ecf3"

    def __init__(self, *, pool_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id

    def link_pool(self, context: Context) -> AccountSettings:
        """Check the id, keep the link to the pool, and give the account."""
        require_id("pool_id", self.pool_id)
        settings = self.hook.settings()
        BatchLinuxPoolLink.persist(context, settings, self.pool_id)
        return settings


class BatchLinuxWaitingOperator(BatchLinuxPoolOperator):
    """
    The base of the operators that ask for something and wait until it is over, here or on the triggerer.

    Each has these parameters, and spells them out, because type checkers see none behind ``**kwargs``.
    """

    wait: bool
    timeout: Duration
    poll_interval: Duration
    deferrable: bool

    def waiting(self, context: Context) -> dict[str, Any]:
        """
        Give what the triggers of all pools take: which pool, how often to look, until when.

        :raises ValueError: ``timeout`` or ``poll_interval`` is no time span; found before anything is asked.
        """
        limit = timedelta(seconds=seconds_of("timeout", self.timeout))
        return {
            "pool_id": self.pool_id,
            "batch_linux_conn_id": self.batch_linux_conn_id,
            "poll_interval": seconds_of("poll_interval", self.poll_interval),
            "deadline": deadline_of(context, limit),
        }

    async def settle(
        self, client: BatchLinuxClient, trigger: BatchLinuxTrigger
    ) -> dict[str, Any] | BatchLinuxTrigger:
        """Wait to the end; deferrable, look once, and give the trigger that goes on when it is too early."""
        result = await trigger.settle(client, block=not self.deferrable)
        return trigger if result is None else result

    def ask_and_wait(
        self,
        settings: AccountSettings,
        ask: Callable[[BatchLinuxClient], Awaitable[dict[str, Any] | BatchLinuxTrigger]],
    ) -> dict[str, Any]:
        """
        Ask for something, and come to its result in the way of waiting that was chosen.

        :param ask: asks, and gives the result, or the trigger to wait on with, as :meth:`settle` does.
        """
        outcome = self.hook.run(ask, settings=settings)
        if isinstance(outcome, BatchLinuxTrigger):
            defer_to(self, outcome)
        return outcome

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take the trigger's event as the result, or raise what it reports."""
        return result_of(event)
