"""The Airflow connection that leads to an embedded service; imports neither Airflow nor the service."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["airflow_connection"]


def airflow_connection(endpoint: str, account: str, key: str, ca: Path | None = None, **extra: object) -> str:
    """
    Return a connection as JSON, as ``AIRFLOW_CONN_...`` takes it.

    :param ca: the file with the authority to trust; ``None`` where the service speaks plain HTTP.
    :param extra: further fields of the connection's extra, such as ``retry_budget``.
    """
    trust = {} if ca is None else {"ca_file": str(ca)}
    connection = {
        "conn_type": "azure_batch_linux",
        "login": account,
        "password": key,
        "extra": {"account_url": endpoint, **trust, **extra},
    }
    return json.dumps(connection)
