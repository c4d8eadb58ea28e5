"""The plugin of Airflow that adds the page "Batch pools". All components of Airflow import this module."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow import __version__ as AIRFLOW
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_batchlinux.links._page import PAGE_PREFIX, page_connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

log = logging.getLogger(__name__)

_OLDEST = (3, 1, 1)
"""Airflow 3.1.0 shows external views without their category."""


class LazyPage:
    """
    The application that serves the page, which is built by its first request.

    The plugin's module is imported by all components of Airflow; what this imports takes a second.
    """

    def __init__(self) -> None:
        self._page: Any = None
        self._lock: asyncio.Lock | None = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve a request."""
        # The mounted application replaces it: this one is Airflow's, which starts the runs.
        scope["batch_linux_airflow"] = scope.get("app")
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._page is None:
                try:
                    name = "airflow_provider_batchlinux.plugins._app"
                    self._page = (await asyncio.to_thread(import_module, name)).create_page()
                except Exception:  # an Airflow that checks users in another way: nothing is served
                    log.exception("The page Batch pools does not work with this Airflow (%s).", AIRFLOW)
                    self._page = _unavailable
        await self._page(scope, receive, send)


async def _unavailable(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
    body = b"The page Batch pools does not work with this Airflow. The log of the API server says why."
    await send({"type": "http.response.body", "body": body})


def extension_points() -> dict[str, list[Any]]:
    """Return what the plugin adds to Airflow: nothing, unless the page is configured."""
    if not page_connections():
        return {"fastapi_apps": [], "external_views": []}
    numbers = tuple(int(part) for part in AIRFLOW.split(".")[:3] if part.isdecimal())
    if numbers < _OLDEST:
        log.warning("The page Batch pools needs Airflow 3.1.1 or later; this is %s.", AIRFLOW)
        return {"fastapi_apps": [], "external_views": []}
    view = {
        "name": "Batch pools",
        # Relative to Airflow's own address, which may have a path.
        "href": f"{PAGE_PREFIX.removeprefix('/')}/",
        "destination": "nav",
        "category": "browse",
        "url_route": "batch_pools",
    }
    app = {"name": "Batch pools", "app": LazyPage(), "url_prefix": PAGE_PREFIX}
    return {"fastapi_apps": [app], "external_views": [view]}


class BatchPoolsPlugin(AirflowPlugin):
    """The page "Batch pools": off, unless the option ``[batch_linux] ui_connections`` names connections."""

    name = "batch_linux_pools"

    def __init__(self) -> None:
        points = extension_points()
        self.fastapi_apps, self.external_views = points["fastapi_apps"], points["external_views"]
