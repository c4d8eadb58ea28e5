"""Links to the Azure portal. A link may be missing, but never fails a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_batchlinux.client.transport.account import AccountSettings

__all__ = ["BatchLinuxPoolLink"]

log = logging.getLogger(__name__)


class BatchLinuxPoolLink(BaseOperatorLink):
    """The pool's page in the Azure portal."""

    name = "Pool in the Azure portal"

    @classmethod
    def persist(cls, context: Context, settings: AccountSettings, pool_id: str) -> None:
        """
        Store the link when the pool is known, so that it is visible while the task waits.

        :param settings: the account. An account outside Azure has no portal page and gets an empty link,
            because Airflow logs an error for each link that it does not find.
        """
        from airflow_provider_batchlinux.core.pools.portal import pool_page

        try:
            url = pool_page(
                settings.endpoint,
                settings.account_name,
                pool_id,
                subscription_id=settings.subscription_id,
                resource_group=settings.resource_group,
            )
            context["ti"].xcom_push(key=cls().xcom_key, value=url)
        except Exception:
            log.warning("The link to pool %r could not be stored.", pool_id, exc_info=True)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the stored link, empty when there is none."""
        # Not imported with a Dag file: this module brings in Airflow's database models.
        from airflow.providers.common.compat.sdk import XCom

        try:
            stored: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        except Exception:
            return ""
        return str(stored or "")
