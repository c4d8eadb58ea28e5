"""The operator that reports pools whose image is about to reach end of support."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_batchlinux.core.instants import WARNED_BEFORE, Duration
from airflow_provider_batchlinux.exceptions import ImageEndOfSupportError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, save_result

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.images.end_of_support import ImageInUse
    from airflow_provider_batchlinux.core.images.requests import CheckImagesRequest

__all__ = ["BatchLinuxCheckImagesOperator"]


class BatchLinuxCheckImagesOperator(BatchLinuxBaseOperator["CheckImagesRequest"]):
    """
    Check how long the images of the account's pools are still supported.

    Microsoft announces the end of an image's support months ahead. After that date, new pools with the image
    may be refused, and existing pools may get no new nodes. Run this daily, and alert on its failure:

    .. code-block:: python

        with DAG("tidy", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1)):
            BatchLinuxCheckImagesOperator(task_id="check_images", warn_before=pendulum.duration(weeks=8))

    Result in XCom, also if the task fails because of it:

    - ``checked``: the number of pools.
    - ``ending``: for each pool whose image ends soon ``pool_id``, ``image``, ``node_agent_sku``,
      ``end_of_support`` (ISO 8601, or ``None`` for an image that the service no longer lists), ``days_left``,
      and ``successor`` (the image that a new pool of the same kind would use).

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``,
        and ``maintenance`` in ``example_dags/example_maintenance.py``.

    :param pool_ids: the pools to check; ``None`` checks all pools of the account. (templated)
    :param warn_before: how long before the end of support a pool is reported, as a pendulum duration,
        ``timedelta`` or seconds. (templated)
    :param on_ending: ``fail`` fails the task without retries if a pool's image ends soon, with all such pools
        in the error; ``warn`` logs them. (templated)
    :param allow_empty: succeed if ``pool_ids`` is an empty list. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"pool_ids": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#f3edd8"

    def __init__(
        self,
        *,
        pool_ids: list[str] | None = None,
        warn_before: Duration | str = WARNED_BEFORE,
        on_ending: Literal["fail", "warn"] = "fail",
        allow_empty: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_ids = pool_ids
        self.warn_before = warn_before
        self.on_ending = on_ending
        self.allow_empty = allow_empty

    @classmethod
    def request_class(cls) -> type[CheckImagesRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.images.requests import CheckImagesRequest

        return CheckImagesRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the image of every pool once."""
        from airflow_provider_batchlinux.core.images.end_of_support import describe_support
        from airflow_provider_batchlinux.core.text import counted

        now = datetime.now(timezone.utc)
        span = timedelta(seconds=self.request.warn_before)
        found = self._images_in_use(now)
        ending = [image for image in found if image.ends_within(span, now)]
        lines = [describe_support(image, now) for image in ending]
        result = {"checked": len(found), "ending": [image.to_dict(now) for image in ending]}
        share, verb = f"{len(ending)} of {counted(len(found), 'pool')}", "uses" if len(ending) == 1 else "use"
        summary = f"{share} {verb} an image that is about to reach end of support"
        if ending and self.request.on_ending == "fail":
            save_result(context, result)
            msg = f"{summary}:\n" + "\n".join(lines)
            raise ImageEndOfSupportError(msg, pool_ids=[image.pool_id for image in ending])
        for line in lines:
            self.log.warning("%s", line)
        self.log.info("%s.", summary)
        return result

    def _images_in_use(self, now: datetime) -> list[ImageInUse]:
        from airflow_provider_batchlinux.core.images.end_of_support import (
            SUPPORT_FIELDS,
            images_in_use,
            named_pools,
        )

        pool_ids, allow_empty = self.request.pool_ids, self.request.allow_empty

        async def work(client: BatchLinuxClient) -> list[ImageInUse]:
            pools = await client.list_pools(SUPPORT_FIELDS)
            chosen = pools if pool_ids is None else named_pools(pools, pool_ids, allow_empty=allow_empty)
            return images_in_use(chosen, await client.list_images() if chosen else [], now)

        return self.hook.run(work)
