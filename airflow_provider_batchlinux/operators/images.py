"""The operator that tells in time which pools stand on an image that goes out of support."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batchlinux.core.instants import WARNED_BEFORE, Duration, seconds_of
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, save_result

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.images.end_of_support import ImageInUse

__all__ = ["BatchLinuxCheckImagesOperator"]


class BatchLinuxCheckImagesOperator(BatchLinuxBaseOperator):
    """
    Check how long the images of the account's pools are still supported.

    Microsoft sets the end of an image's support months ahead; from then on pools of it can be neither made
    nor, it may be, enlarged. Run this daily and alert on its failure.

    Result in XCom, also when the task fails over it: ``checked`` (number of pools) and ``ending``, for each
    pool whose image ends soon: ``pool_id``, ``image``, ``node_agent_sku``, ``end_of_support`` (ISO 8601, or
    ``None`` for an image that the service has taken off its list), ``days_left``, ``successor`` (what its
    kind of image is now).

    :param pool_ids: the pools to look at; ``None`` looks at all of the account. (templated)
    :param warn_before: how long before the end of support a pool counts as ending, as a pendulum duration,
        ``timedelta`` or seconds.
    :param on_ending: ``fail`` fails the task without further tries when a pool's image ends soon, with all
        such pools in the error; ``warn`` only logs them.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxBaseOperator.template_fields, "pool_ids")
    ui_color = "#f3edd8"

    def __init__(
        self,
        *,
        pool_ids: list[str] | None = None,
        warn_before: Duration = WARNED_BEFORE,
        on_ending: Literal["fail", "warn"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_ending not in ("fail", "warn"):
            msg = f"on_ending={on_ending!r} is neither 'fail' nor 'warn'."
            raise ValueError(msg)
        self.pool_ids = pool_ids
        self.warn_before = warn_before
        self.on_ending = on_ending

    def execute(self, context: Context) -> dict[str, Any]:
        """Look at every pool's image once."""
        from airflow_provider_batchlinux.core.images.end_of_support import describe_support

        now = datetime.now(timezone.utc)
        span = timedelta(seconds=seconds_of("warn_before", self.warn_before))
        found = self._images_in_use(now)
        ending = [image for image in found if image.ends_within(span, now)]
        lines = [describe_support(image, now) for image in ending]
        result = {"checked": len(found), "ending": [image.to_dict(now) for image in ending]}
        if lines and self.on_ending == "fail":
            msg = f"{len(ending)} of {len(found)} pools stand on an image that ends:\n" + "\n".join(lines)
            save_result(context, result)
            raise AirflowFailException(msg)
        for line in lines:
            self.log.warning("%s", line)
        self.log.info("%d of %d pools stand on an image that ends.", len(ending), len(found))
        return result

    def _images_in_use(self, now: datetime) -> list[ImageInUse]:
        from airflow_provider_batchlinux.core.images.end_of_support import SUPPORT_FIELDS, images_in_use

        wanted = None if self.pool_ids is None else {pool_id.lower() for pool_id in self.pool_ids}

        async def story(client: BatchLinuxClient) -> list[ImageInUse]:
            pools = await client.list_pools(SUPPORT_FIELDS)
            chosen = [pool for pool in pools if wanted is None or str(pool["id"]).lower() in wanted]
            return images_in_use(chosen, await client.list_images() if chosen else [], now)

        return self.hook.run(story)
