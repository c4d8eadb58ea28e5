"""Airflow's side of the page: users and their rights, Dag runs, and the runs that carry out actions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.providers.common.compat.sdk import conf
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_batchlinux.core.overview.pools import Reader
from airflow_provider_batchlinux.core.pool_metadata import Holder
from airflow_provider_batchlinux.hooks._installation import SECTION, known_installation_id

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_COOKIE = "_token"  # the name of a cookie
_CHUNK = 400
"""Dag runs in one query: databases limit the number of parameters."""


@dataclass(frozen=True)
class Visitor:
    """
    A user of Airflow who looks at the page, and what the user may do.

    All methods ask Airflow's auth manager; some of them read the database.

    :param user: Airflow's user.
    """

    user: Any

    @property
    def name(self) -> str:
        """The user's name, as Airflow shows it."""
        return str(self.user.get_name())

    @property
    def id(self) -> str:
        """The user's id."""
        return str(self.user.get_id())

    def may_visit(self) -> bool:
        """Return whether the user may see what goes on in this Airflow."""
        return bool(
            get_auth_manager().is_authorized_view(access_view=AccessView.CLUSTER_ACTIVITY, user=self.user)
        )

    @cached_property
    def dags(self) -> set[str]:
        """The Dags that the user may read."""
        return set(get_auth_manager().get_authorized_dag_ids(user=self.user, method="GET"))

    def reader(self, conn_id: str) -> Reader:
        """Return what the user may see of an account."""
        details = ConnectionDetails(conn_id=conn_id, **_team(Connection, conn_id))
        reads = get_auth_manager().is_authorized_connection(method="GET", details=details, user=self.user)
        return Reader(self.dags, bool(reads))

    def may_read_logs(self, dag_id: str) -> bool:
        """Return whether the user may read what the tasks of a Dag print."""
        return self._may("GET", DagAccessEntity.TASK_LOGS, dag_id)

    def may_start(self, dag_id: str) -> bool:
        """Return whether the user may start a run of a Dag."""
        return self._may("POST", DagAccessEntity.RUN, dag_id)

    def _may(self, method: Any, entity: DagAccessEntity, dag_id: str) -> bool:
        details = DagDetails(id=dag_id, **_team(DagModel, dag_id))
        return bool(
            get_auth_manager().is_authorized_dag(
                method=method, access_entity=entity, details=details, user=self.user
            )
        )


def _team(model: Any, name: str) -> dict[str, Any]:
    # Airflows before 3.2 have no teams.
    if not conf.getboolean("core", "multi_team", fallback=False):
        return {}
    return {"team_name": model.get_team_name(name)}


def run_states(runs: Iterable[Holder]) -> dict[Holder, str]:
    """Return the states of Dag runs; those that do not exist are left out."""
    # A pool's metadata, which others write, may name what no database can hold.
    wanted = sorted(run for run in set(runs) if all(map(_is_storable, run)))
    found: dict[Holder, str] = {}
    with create_session() as session:
        for first in range(0, len(wanted), _CHUNK):
            part = wanted[first : first + _CHUNK]
            rows = session.execute(
                select(DagRun.dag_id, DagRun.run_id, DagRun.state).where(
                    DagRun.dag_id.in_({run.dag_id for run in part}),
                    DagRun.run_id.in_({run.run_id for run in part}),
                )
            )
            states = {(dag_id, run_id): str(getattr(state, "value", state)) for dag_id, run_id, state in rows}
            found |= {run: states[run[:2]] for run in part if run[:2] in states}
    return found


def _is_storable(name: str) -> bool:
    return "\0" not in name and name.encode("utf-8", "replace").decode() == name


def installation() -> str | None:
    """Return the id of this Airflow; ``None`` if it has none yet."""
    return known_installation_id()


def maintenance_dag() -> str:
    """Return the id of the Dag that carries out actions; empty if there is none."""
    return str(conf.get(SECTION, "ui_maintenance_dag", fallback="") or "").strip()


class RefusedError(Exception):
    """
    Airflow did not start a run.

    :param status: the HTTP status of its answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def start_run(
    airflow: Any, headers: Mapping[str, str], cookies: Mapping[str, str], dag_id: str, body: Mapping[str, Any]
) -> str:
    """
    Start a run of a Dag as the user of a request, and return its id.

    The request goes to Airflow's own API in this process, with the user's own token. Airflow checks the
    user's right, validates the parameters and writes its audit log, as for any other run.

    :param airflow: Airflow's own application.
    :param headers: those of the user's request.
    :param cookies: those of the user's request.
    :param body: what the API takes.
    :raises RefusedError: Airflow's reason.
    """
    bearer = headers.get("authorization", "")
    token = bearer[7:] if bearer.lower().startswith("bearer ") else cookies.get(TOKEN_COOKIE, "")
    transport = httpx.ASGITransport(app=airflow, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport) as client:
        answer = await client.post(
            f"http://airflow/api/v2/dags/{quote(dag_id, safe='')}/dagRuns",
            json=dict(body),
            # With a referer, Airflow records that the run was started in its UI.
            headers={"Authorization": f"Bearer {token}", "Referer": "http://airflow/batch-pools/"},
        )
    try:
        said = answer.json()
    except ValueError:
        said = {}
    if not answer.is_success:
        detail = said.get("detail") if isinstance(said, dict) else None
        raise RefusedError(
            answer.status_code, detail if isinstance(detail, str) else f"HTTP {answer.status_code}"
        )
    return str(said["dag_run_id"])
