"""Read many pools in few requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.transport.fan_out import read_each
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.exceptions import BatchRequestError

_NAMED = 10
"""Pools that one request names in its filter; for more, all pools of the account are listed."""


@dataclass(frozen=True)
class PoolReading:
    """
    One reading of a pool, shared by all waits on it.

    :param pool: ``None`` if the pool does not exist.
    :param counts: its nodes by state, which may be stale.
    :param body: its REST body with :data:`POOL_FIELDS`.
    :param turn: the turn of the poller that read it.
    :param error: why this pool could not be read, or ``None``.
    :param metadata: its metadata, in which leases read the ledger of users.
    """

    pool: PoolSnapshot | None
    counts: Mapping[str, int]
    body: Body | None = field(compare=False)
    turn: int = field(compare=False)
    error: BatchRequestError | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class PoolReader:
    """
    Read pools together: two requests for any number of pools of any size, as long as one page is enough.

    ``nodecounts`` is documented with pages of ten pools up to 2024-07-01 and of a thousand since; it is not
    known which limit the service uses. If a listing needed several pages, pools are requested by name, ten in
    a request, as soon as that takes fewer requests.
    """

    noun = "pool"
    crowd = 50

    def __init__(self, client: BatchLinuxClient) -> None:
        self._client = client
        self._count_pages = 1

    def few(self, watched: int) -> int:  # noqa: ARG002
        """Return 0: pools are always read together."""
        return 0

    async def read(
        self,
        pool_ids: Sequence[str],
        turn: int,
        watched: int = 0,  # noqa: ARG002
    ) -> dict[str, PoolReading]:
        """
        Return the readings of these pools.

        A pool without nodes is not counted.

        :param turn: the turn of the poller, for the readings.
        :param watched: the number of pools that are watched.
        """
        found = await self._bodies(pool_ids)
        pools = {name: PoolSnapshot.from_rest(body) for name, (body, _) in found.items() if body is not None}
        counts = await self._counts([name for name, pool in pools.items() if pool.current])
        return {
            name: PoolReading(
                pools.get(name),
                counts.get(name.lower(), {}),
                body,
                turn,
                error,
                metadata_of(body or {}),
            )
            for name, (body, error) in found.items()
        }

    async def _bodies(
        self, pool_ids: Sequence[str]
    ) -> dict[str, tuple[Body | None, BatchRequestError | None]]:
        listed = await self._listed(pool_ids)

        async def body_of(pool_id: str) -> Body | None:
            if pool_id.lower() in listed:
                return listed[pool_id.lower()]
            # Whether a list may be stale is not documented: only the pool's URL shows that it does not exist.
            return await self._client.find_pool_body(pool_id, POOL_FIELDS)

        return await read_each(pool_ids, body_of)

    async def _listed(self, pool_ids: Sequence[str]) -> dict[str, Body]:
        if len(pool_ids) < 2:
            return {}
        where = _any_of("id", pool_ids) if len(pool_ids) <= _NAMED else None
        rows = await self._client.list_pools(POOL_FIELDS, where=where)
        # The service ignores the case of ids.
        return {str(row["id"]).lower(): row for row in rows}

    async def _counts(self, pool_ids: Sequence[str]) -> dict[str, Mapping[str, int]]:
        groups = [pool_ids[start : start + _NAMED] for start in range(0, len(pool_ids), _NAMED)]
        if len(groups) <= 1 or len(groups) < self._count_pages:
            filters = [_any_of("poolId", group) for group in groups]
            pages = [page for where in filters for page in await self._client.node_count_pages(where=where)]
        else:
            pages = await self._client.node_count_pages()
            self._count_pages = len(pages)
        return {name.lower(): counts for page in pages for name, counts in page.items()}


def _any_of(name: str, values: Sequence[str]) -> str:
    quoted = (value.replace("'", "''") for value in values)
    return " or ".join(f"{name} eq '{value}'" for value in quoted)
