"""The application that serves the page: every route asks Airflow for its user and what the user may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow.api_fastapi.core_api.security import get_user
from airflow.providers.common.compat.sdk import conf
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_batchlinux.core.node_states import BROKEN_STATES
from airflow_provider_batchlinux.core.overview.actions import ActionRequest, read_action
from airflow_provider_batchlinux.core.overview.nodes import (
    JobOverview,
    NodeOverview,
    job_overview,
    node_overview,
)
from airflow_provider_batchlinux.core.overview.pools import (
    SORTS,
    Facts,
    PoolOverview,
    PoolQuery,
    Reader,
    holders_in,
    overview_of,
    seen_by,
)
from airflow_provider_batchlinux.core.overview.summary import AccountSummary, Quota, quotas_of, summary_of
from airflow_provider_batchlinux.core.pool_metadata import Holder
from airflow_provider_batchlinux.links._page import page_connections
from airflow_provider_batchlinux.plugins._accounts import Accounts, explained, prices_by_region
from airflow_provider_batchlinux.plugins._airflow import (
    RefusedError,
    Visitor,
    installation,
    maintenance_dag,
    run_states,
    start_run,
)
from airflow_provider_batchlinux.plugins._csrf import is_from_elsewhere, is_valid, token_for
from airflow_provider_batchlinux.plugins._pages import HERE, AsciiJson, SecureHeaders, address, render

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.overview.cache import Seen
    from airflow_provider_batchlinux.client.overview.readings import AccountReading

# More rows make a browser slow; the page says how many it leaves out.
_MOST_ROWS = 500
# A form has a few short fields. A longer body is not read, so that it takes no memory of the API server.
_MOST_FORM_BYTES = 10_000
_FILES = {"page.css": "text/css", "page.js": "text/javascript"}
_NO_MORE: Mapping[str, Any] = {
    "docs_url": None,
    "redoc_url": None,
    "openapi_url": None,
    # It would send anyone to the host that the request names, before the user is asked for.
    "redirect_slashes": False,
}
"""What FastAPI would serve besides the routes."""

_TITLES = {401: "Log in to Airflow first", 403: "Not allowed", 404: "Not found"}


@dataclass(frozen=True)
class AccountView:
    """
    An account as a user sees it.

    :param pools: the pools that the user may see, in the order of the query.
    :param hidden: the number of those that the user may not see.
    :param error: why the account could not be read; empty if it could.
    :param is_known: whether this Airflow has an id, by which it knows its pools.
    """

    conn_id: str
    place: str
    seen: Seen[AccountReading]
    pools: Sequence[PoolOverview]
    hidden: int
    summary: AccountSummary
    quotas: Sequence[Quota]
    facts_gap: str
    error: str
    is_known: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON values."""
        return {
            "conn_id": self.conn_id,
            "age_seconds": round(self.seen.age, 1) if self.seen.value is not None else None,
            "is_late": self.seen.is_late,
            "error": self.error or None,
            "hidden_pools": self.hidden,
            "summary": self.summary.to_dict(),
            "quotas": [vars(quota) for quota in self.quotas],
            "pools": [pool.to_dict() for pool in self.pools],
        }


def visitor_of(user: Any = Depends(get_user)) -> Visitor:  # noqa: B008  # how FastAPI declares it
    """Return the visitor of the page; Airflow's own function has refused anonymous requests with 401."""
    visitor = Visitor(user)
    if not visitor.may_visit():
        raise HTTPException(403, "You may not see the cluster activity of this Airflow.")
    return visitor


def conn_of(conn: str) -> str:
    """Return the connection of a request, which must be one of those that are configured."""
    if conn not in page_connections():
        raise HTTPException(404, "The page does not show this connection.")
    return conn


VisitorNow = Depends(visitor_of)
ConnNow = Depends(conn_of)


class Page:
    """
    The page's routes.

    :param accounts: reads the accounts.
    :param clock: returns seconds since 1970, for the tokens of forms.
    """

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = time.time) -> None:
        self.accounts = accounts
        self.clock = clock

    async def view(self, conn_id: str, visitor: Visitor, query: PoolQuery) -> AccountView:
        """Return an account as a user sees it."""
        seen, known, (place, where) = await asyncio.gather(
            self.accounts.account(conn_id), self.accounts.facts(conn_id), self.accounts.place(conn_id)
        )
        bodies = seen.value.pools if seen.value else ()
        counts_of = seen.value.counts_of if seen.value else (lambda _: {})
        region = known.value.region if known.value else None

        def decide() -> AccountView:
            prices = prices_by_region()
            us = installation()
            facts = Facts(
                datetime.now(timezone.utc),
                us,
                run_states(holders_in(bodies)),
                known.value.images if known.value else (),
                prices.get(where) or prices.get(None) or {},
            )
            reader = visitor.reader(conn_id)
            found = [seen_by(reader, overview_of(pool, counts_of(str(pool["id"])), facts)) for pool in bodies]
            shown = [pool for pool in found if pool is not None]
            return AccountView(
                conn_id=conn_id,
                place=place if reader.reads_connection else "",
                seen=seen,
                pools=query.select(shown),
                hidden=len(found) - len(shown),
                summary=summary_of(shown),
                quotas=quotas_of(bodies, region) if reader.reads_connection else (),
                facts_gap=known.value.gap if known.value and reader.reads_connection else "",
                error=explained(seen.error, reader),
                is_known=us is not None,
            )

        # In a thread: it reads Airflow's database, and would block the API server.
        return await run_in_threadpool(decide)

    async def one_pool(
        self, conn_id: str, pool_id: str, visitor: Visitor
    ) -> tuple[AccountView, PoolOverview]:
        """Return a pool that a user may see; one that the user may not see does not exist for them."""
        view = await self.view(conn_id, visitor, PoolQuery())
        pool = next((pool for pool in view.pools if pool.pool_id.lower() == pool_id.lower()), None)
        if pool is None:
            raise HTTPException(404, view.error or "The account has no such pool that you may see.")
        return view, pool

    async def overview(self, request: Request, visitor: Visitor = VisitorNow) -> Response:
        """Show all accounts."""
        given = request.query_params
        query = PoolQuery(given.get("q", ""), given.get("show", "all"), given.get("sort", "attention"))
        # An account that is slow does not delay the others.
        accounts = await asyncio.gather(
            *(self.view(conn_id, visitor, query) for conn_id in page_connections())
        )
        if request.url.path.endswith("/pools.json"):
            return AsciiJson({"accounts": [account.to_dict() for account in accounts]})
        again = address("./", q=query.text, show=query.show, sort=query.sort)
        html = await run_in_threadpool(
            render,
            "overview.html",
            visitor_name=visitor.name,
            accounts=accounts,
            query=query,
            sorts=list(SORTS),
            again=again,
        )
        return HTMLResponse(html)

    async def pool(
        self, request: Request, pool: str, conn: str = ConnNow, visitor: Visitor = VisitorNow
    ) -> Response:
        """Show a pool with its nodes, users and jobs."""
        view, found = await self.one_pool(conn, pool, visitor)
        seen = await self.accounts.pool(conn, found.pool_id)
        now, reading = datetime.now(timezone.utc), seen.value
        nodes = [node_overview(node, now) for node in (reading.nodes or () if reading else ())]
        nodes.sort(key=lambda node: (node.snapshot.state not in BROKEN_STATES, node.node_id))
        reader, us = await run_in_threadpool(lambda: (visitor.reader(conn), installation()))
        jobs = [job_overview(job, us) for job in (reading.jobs if reading else ())]
        jobs = [job for job in jobs if _may_see(reader, job)]
        seen_jobs = [job.to_dict() for job in jobs]
        nodes = [_without_others(reader, node, seen_jobs) for node in nodes]
        if request.url.path.endswith("/pool.json"):
            return AsciiJson(
                {
                    "conn_id": conn,
                    "age_seconds": round(seen.age, 1),
                    "error": explained(seen.error, reader) or None,
                    **found.to_dict(),
                    "node_list": [node.to_dict() for node in nodes],
                    "jobs": [job.to_dict() for job in jobs],
                }
            )
        hours = [node.node_hours for node in nodes if node.node_hours is not None]
        html = await run_in_threadpool(
            render,
            "pool.html",
            visitor_name=visitor.name,
            conn_id=conn,
            pool=found,
            seen=seen,
            error=explained(seen.error, reader) or view.error,
            nodes=nodes,
            node_hours=sum(hours) if hours else None,
            jobs=jobs,
            actions=bool(maintenance_dag()),
            most_rows=_MOST_ROWS,
            again=address("pool", conn=conn, pool=found.pool_id),
        )
        return HTMLResponse(html)

    async def node(
        self, request: Request, pool: str, node: str, conn: str = ConnNow, visitor: Visitor = VisitorNow
    ) -> Response:
        """Show a node with the end of the output of its programs."""
        _, found = await self.one_pool(conn, pool, visitor)
        seen = await self.accounts.node(conn, found.pool_id, node)
        reading, now = seen.value, datetime.now(timezone.utc)
        body = reading.node if reading else None
        seen_node = node_overview(body, now) if body else None
        reader, us = await run_in_threadpool(lambda: (visitor.reader(conn), installation()))
        may_read = await run_in_threadpool(_may_read_output, visitor, reader, found.owner)
        tasks: list[dict[str, Any]] = []
        for task in reading.tasks if reading else ():
            job = job_overview(task.job, us) if task.job else None
            if not _may_see(reader, job):
                continue
            dag_id = job.run.dag_id if job and job.run else None
            is_readable = await run_in_threadpool(_may_read_output, visitor, reader, dag_id)
            text = task.text if is_readable else ""
            tasks.append(
                {"job_id": task.job_id, "task_id": task.task_id, "is_readable": is_readable, "text": text}
            )
        start_task = reading.start_task if reading and may_read else ""
        error = explained(seen.error, reader)
        if request.url.path.endswith("/node.json"):
            shown = _without_others(reader, seen_node, tasks).to_dict() if seen_node else None
            return AsciiJson(
                {"error": error or None, "node": shown, "start_task": start_task, "tasks": tasks}
            )
        html = await run_in_threadpool(
            render,
            "node.html",
            visitor_name=visitor.name,
            conn_id=conn,
            pool=found,
            node_id=seen_node.node_id if seen_node else node,
            node=seen_node,
            seen=seen,
            error=error,
            start_task=start_task,
            may_read_output=may_read,
            tasks=tasks,
            actions=bool(maintenance_dag()),
            again=address("node", conn=conn, pool=found.pool_id, node=node),
        )
        return HTMLResponse(html)

    async def confirm(self, request: Request, visitor: Visitor = VisitorNow) -> Response:
        """Show what an action does, and the form that starts it."""
        return await self._confirmation(dict(request.query_params), visitor)

    async def act(self, request: Request, visitor: Visitor = VisitorNow) -> Response:
        """Start the run of the maintenance Dag that carries out an action."""
        if is_from_elsewhere(request.headers):
            raise HTTPException(403, "Another site has sent this form.")
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MOST_FORM_BYTES:
                raise HTTPException(413, "The form is too long.")
        form = dict(parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True))
        if not is_valid(_secret(), visitor.id, self.clock(), form.get("csrf", "")):
            raise HTTPException(
                403, "The form is too old, or was not made by this page. Go back and try again."
            )
        wanted, dag_id = await self._wanted(form, visitor)
        body = {"logical_date": None, "conf": wanted.to_conf(), "note": f"Batch pools: {wanted.effect}"}
        airflow = request.scope["batch_linux_airflow"]
        try:
            run_id = await start_run(airflow, request.headers, request.cookies, dag_id, body)
        except RefusedError as error:
            problem = f"Airflow did not start the run: {error}"
            return await self._confirmation(form, visitor, problem, status=error.status)
        return RedirectResponse(address("started", dag=dag_id, run=run_id), status_code=303)

    async def started(self, dag: str, run: str, visitor: Visitor = VisitorNow) -> Response:
        """Show a run of the maintenance Dag."""

        def state() -> str | None:
            if dag != maintenance_dag() or dag not in visitor.dags:
                return None
            return run_states([Holder(dag, run, "")]).get(Holder(dag, run, ""))

        found = await run_in_threadpool(state)
        if found is None:
            raise HTTPException(404, "There is no such run that you may see.")
        run_of = Holder(dag, run, "")
        return HTMLResponse(render("started.html", visitor_name=visitor.name, run=run_of, state=found))

    async def file(self, request: Request, _visitor: Visitor = VisitorNow) -> Response:
        """Serve the style sheet or the script."""
        name = request.url.path.rpartition("/")[2]
        return Response((HERE / "static" / name).read_bytes(), media_type=_FILES[name])

    async def _wanted(self, form: Mapping[str, str], visitor: Visitor) -> tuple[ActionRequest, str]:
        if not (dag_id := maintenance_dag()):
            raise HTTPException(404, "The page has no actions: [batch_linux] ui_maintenance_dag is not set.")
        try:
            wanted = read_action(form)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        await self.one_pool(conn_of(wanted.conn_id), wanted.pool_id, visitor)
        return wanted, dag_id

    async def _confirmation(
        self, form: Mapping[str, str], visitor: Visitor, problem: str = "", status: int = 200
    ) -> Response:
        wanted, dag_id = await self._wanted(form, visitor)
        may = bool(_secret()) and await run_in_threadpool(visitor.may_start, dag_id)
        html = render(
            "action.html",
            visitor_name=visitor.name,
            action=wanted,
            dag_id=dag_id,
            conf=wanted.to_conf(),
            problem=problem,
            csrf=token_for(_secret(), visitor.id, self.clock()) if may else "",
            fields={
                "action": wanted.action.name,
                "conn": wanted.conn_id,
                "pool": wanted.pool_id,
                **wanted.values,
            },
        )
        return HTMLResponse(html, status_code=status)


def create_page(accounts: Accounts | None = None) -> SecureHeaders:
    """
    Return the application.

    :param accounts: reads the accounts; ``None`` with the connections of this Airflow.
    """
    page = Page(accounts or Accounts())
    # The user comes first, whatever else is wrong with a request.
    app = FastAPI(dependencies=[VisitorNow], **_NO_MORE)
    routes: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("/", page.overview),
        ("/pools.json", page.overview),
        ("/pool", page.pool),
        ("/pool.json", page.pool),
        ("/node", page.node),
        ("/node.json", page.node),
        ("/action", page.confirm),
        ("/started", page.started),
        *((f"/{name}", page.file) for name in _FILES),
    )
    for path, endpoint in routes:
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response)
    app.add_api_route("/action", page.act, methods=["POST"], response_class=Response)
    app.add_exception_handler(AnyHTTPException, _refusal)
    return SecureHeaders(app)


async def _refusal(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    text = str(getattr(error, "detail", ""))
    if "text/html" not in request.headers.get("accept", "") or request.url.path.endswith(".json"):
        return AsciiJson({"detail": text}, status_code=status)
    title = _TITLES.get(status, "This did not work")
    return HTMLResponse(render("message.html", visitor_name="", title=title, text=text), status_code=status)


def _secret() -> str:
    return str(conf.get("api", "secret_key", fallback="") or "")


def _may_see(reader: Reader, job: JobOverview | None) -> bool:
    run = job.run if job else None
    return reader.reads_connection or (run is not None and run.dag_id in reader.dags)


def _without_others(reader: Reader, node: NodeOverview, seen: Sequence[Mapping[str, Any]]) -> NodeOverview:
    """
    Return a node without the tasks of jobs that a user may not see.

    :param seen: what the user may see, each with its ``job_id``.
    """
    if reader.reads_connection:
        return node
    job_ids = {each["job_id"] for each in seen}
    return replace(node, running=tuple(task for task in node.running if task.job_id in job_ids))


def _may_read_output(visitor: Visitor, reader: Reader, dag_id: str | None) -> bool:
    return reader.reads_connection if dag_id is None else visitor.may_read_logs(dag_id)
