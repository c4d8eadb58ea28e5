"""Who sends a description of a pool or job, and the account in which it names other resources."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.protocol.auth import authentication_failed
from airflow_provider_batchlinux.emulator.protocol.azure_ids import AccountPlace
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
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


def needs_entra(*, of: str) -> ServiceError:
    """Return the error for a request with the account key that names resources of a provider (``of``)."""
    return authentication_failed(
        detail="The specified type of authentication SharedKey is not allowed when external "
        f"resources of type {of} are linked."
    )
