"""The request of the operator that checks the images of pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from airflow_provider_batchlinux.core.parameters.kinds import ALL_IF_NONE, Flag, Id, Seconds
from airflow_provider_batchlinux.core.parameters.requests import OperatorRequest


@dataclass(frozen=True)
class CheckImagesRequest(OperatorRequest):
    """
    A check of the images that pools use.

    :param pool_ids: the pools; ``None`` for all.
    :param warn_before: the seconds before the end of support from which a pool is reported.
    :param on_ending: what to do if the support of an image ends soon.
    :param allow_empty: whether it is fine if no pool is selected.
    """

    pool_ids: Annotated[tuple[Id, ...] | None, ALL_IF_NONE]
    warn_before: Seconds
    on_ending: Literal["fail", "warn"]
    allow_empty: Flag
