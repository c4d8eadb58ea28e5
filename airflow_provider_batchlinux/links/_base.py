"""What all links have in common: they are stored when the task begins. A link never fails a task."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_batchlinux.client.transport.account import AccountSettings

log = logging.getLogger(__name__)


class BatchLinuxLink(BaseOperatorLink):
    """The base of the links of this provider."""

    @abstractmethod
    def address(self, settings: AccountSettings, conn_id: str, pool_id: str) -> str:
        """
        Return the address of the page of a pool; empty if there is no such page.

        :param settings: the account.
        :param conn_id: the id of the connection to it.
        """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the stored link, empty when there is none."""
        # Not imported with a Dag file: this module brings in Airflow's database models.
        from airflow.providers.common.compat.sdk import XCom

        try:
            stored: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        except Exception:
            return ""
        return str(stored or "")


def persist_links(operator: BaseOperator, context: Context, settings: AccountSettings, pool_id: str) -> None:
    """
    Store all links of an operator or sensor when the pool is known: they are visible while the task waits.

    A page that does not exist gets an empty link, because Airflow logs an error for each that it does not
    find.
    """
    for link in operator.operator_extra_links:
        if not isinstance(link, BatchLinuxLink):
            continue
        try:
            conn_id = str(getattr(operator, "batch_linux_conn_id", ""))
            context["ti"].xcom_push(key=link.xcom_key, value=link.address(settings, conn_id, pool_id))
        except Exception:
            log.warning("The link %r of pool %r could not be stored.", link.name, pool_id, exc_info=True)
