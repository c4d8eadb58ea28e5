"""The page in an application with Airflow's own auth manager, and the users who look at it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from airflow_provider_batchlinux.links._page import PAGE_PREFIX
from airflow_provider_batchlinux.plugins.batch_pools import LazyPage
from tests.airflow_harness import migrated_database

__all__ = ["CONN", "MAINTENANCE", "Airflow", "logins", "served_page"]

CONN = "azure_batch_linux_default"
MAINTENANCE = "batch_linux_maintenance"
RUNS = (("etl", "live", "running"), ("etl", "over", "success"), (MAINTENANCE, "r1", "queued"))
_NOW = datetime.now(timezone.utc)


@dataclass
class Airflow:
    """
    An application with the page, and what it was asked for in place of Airflow's own API.

    :param started: the runs that were started: the user, the Dag and the body.
    """

    app: FastAPI
    loop: asyncio.AbstractEventLoop
    token_of: Callable[[str], str]
    started: list[tuple[str, str, Any]] = field(default_factory=list)

    def get(self, path: str, role: str | None = "admin", **headers: str) -> Any:
        """Get a page as a user with a role; ``None`` is anonymous."""
        return self.request("GET", path, {**self.headers(role), **headers})

    def post(self, role: str | None, form: dict[str, str], **headers: str) -> Any:
        """Send the form of an action."""
        return self.request("POST", "/action", {**self.headers(role), **headers}, data=form)

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        base_url: str = "http://airflow",
        **options: Any,
    ) -> httpx.Response:
        """Send a request to the page."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
                return await client.request(method, f"{PAGE_PREFIX}{path}", headers=headers, **options)

        return self.loop.run_until_complete(send())

    def headers(self, role: str | None) -> dict[str, str]:
        """Return the headers of a user's browser."""
        named = {} if role is None else {"cookie": f"_token={self.token_of(role)}"}
        return {"accept": "text/html", **named}


def _remember_runs() -> None:
    """Give Airflow Dags and runs; a viewer may read all Dags that it has, and no others."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState

    with create_session() as session:
        for dag_id, run_id, state in RUNS:
            session.merge(DagModel(dag_id=dag_id, bundle_name="tests"))
            session.flush()
            session.add(
                DagRun(
                    dag_id=dag_id, run_id=run_id, state=DagRunState(state), run_type="manual", run_after=_NOW
                )
            )


@contextmanager
def logins() -> Iterator[Callable[[str], str]]:
    """Start Airflow's auth manager, and give a function that logs in a user with a role."""
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        environment.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
        warnings.simplefilter("ignore")  # Airflow's own
        from airflow.api_fastapi.app import init_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        migrated_database()
        _remember_runs()
        import_module("airflow_provider_batchlinux.plugins._app")
        manager = init_auth_manager()

        def token_of(role: str) -> str:
            user: Any = SimpleAuthManagerUser(username=f"the {role}", role=role if role != "none" else None)
            return manager.generate_jwt(user)

        yield token_of


@contextmanager
def served_page(token_of: Callable[[str], str], root_path: str = "") -> Iterator[Airflow]:
    """
    Serve the page for the default connection.

    :param root_path: the path of Airflow's own address.
    """
    from airflow.api_fastapi.core_api.security import get_user

    app = FastAPI(root_path=root_path)
    app.mount(PAGE_PREFIX, LazyPage())

    @app.post("/api/v2/dags/{dag_id}/dagRuns")
    async def trigger(dag_id: str, request: Request, user: Any = Depends(get_user)) -> dict[str, str]:  # noqa: B008
        served.started.append((user.get_name(), dag_id, await request.json()))
        return {"dag_run_id": "r1"}

    loop = asyncio.new_event_loop()
    served = Airflow(app, loop, token_of)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__BATCH_LINUX__UI_CONNECTIONS", CONN)
        environment.setenv("AIRFLOW__BATCH_LINUX__UI_MAINTENANCE_DAG", MAINTENANCE)
        environment.setenv("AIRFLOW__API__SECRET_KEY", "for the tests")
        yield served
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
