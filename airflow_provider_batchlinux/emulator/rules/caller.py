"""Who sends a description of a pool or job, and the account in which it names other resources."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.protocol.azure_ids import AccountPlace
from airflow_provider_batchlinux.emulator.state.store import Store


@dataclass(frozen=True)
class Caller:
    """
    The sender of a description.

    :param is_signed: whether the request is signed with the account key.
    """

    store: Store
    place: AccountPlace
    is_signed: bool = False
