"""Where the page "Batch pools" is, and which accounts it shows."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

PAGE_PREFIX = "/batch-pools"
"""Where the API server serves the page."""


def page_connections() -> list[str]:
    """Return the connections whose accounts the page shows; empty if there is no page."""
    configured: str = conf.get("batch_linux", "ui_connections", fallback="") or ""
    return list(dict.fromkeys(name.strip() for name in configured.split(",") if name.strip()))
