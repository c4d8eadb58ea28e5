"""The Airflow connection for an embedded service."""

from __future__ import annotations

import json
from pathlib import Path


def airflow_connection(endpoint: str, account: str, key: str, ca: Path | None = None, **extra: object) -> str:
    """
    Return an Airflow connection as JSON, for a variable such as ``AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT``.

    :param ca: file with the certificate authority of the service; ``None`` over plain HTTP.
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
