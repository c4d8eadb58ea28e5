"""The control plane under ``/_emulator/``: what tests and demos do to the service; server side."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_batchlinux.emulator.handlers.serializers import COUNTED_STATES
from airflow_provider_batchlinux.emulator.pools.allocation import ResizeFault
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.simulation.clock import ManualClock
from airflow_provider_batchlinux.emulator.simulation.faults import Fault

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator.http.app import Application

__all__ = ["PREFIX", "Action", "answer_control"]

PREFIX = "/_emulator/"
Action = Callable[["Application", Mapping[str, Any]], Awaitable[Any]]


async def answer_control(app: Application, request: web.BaseRequest) -> web.Response:
    """Do what a request to the control plane asks; wrong requests get a sentence and 400."""
    action = _ACTIONS.get(request.raw_path.removeprefix(PREFIX))
    if request.method != "POST" or action is None:
        return web.json_response({"error": f"There is no {request.raw_path}."}, status=404)
    try:
        return web.json_response(await action(app, json.loads(await request.read() or b"{}")))
    except (ServiceError, TypeError, ValueError, KeyError, re.error) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)


async def _reset(app: Application, _given: Mapping[str, Any]) -> None:
    await app.reset()


async def _requests(app: Application, _given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [record.view() for record in app.requests]


async def _clear_requests(app: Application, _given: Mapping[str, Any]) -> None:
    app.requests.clear()


async def _inject(app: Application, given: Mapping[str, Any]) -> None:
    path = given.get("path")
    pattern = None if path is None else re.compile(path)
    app.faults.waiting.append(Fault(**{**given, "path": pattern}))


async def _set_node(app: Application, given: Mapping[str, Any]) -> None:
    node = app.service.store.node(given["pool_id"], given["node_id"])
    state = given["state"].lower()
    if state not in COUNTED_STATES:
        msg = f"{state!r} is not the state of a node."
        raise ValueError(msg)
    app.service.lifecycle.force(node, state, tuple(given.get("errors") or ()))


async def _set_quota(app: Application, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if not hasattr(app.service.quotas, name):
            msg = f"There is no quota {name!r}."
            raise ValueError(msg)
        setattr(app.service.quotas, name, value)
    app.keep_limits()


async def _resize_error(app: Application, given: Mapping[str, Any]) -> None:
    values = given.get("values") or {}
    pairs = [{"name": name, "value": value} for name, value in values.items()]
    error = {"code": given["code"], "message": given["message"], "values": pairs}
    pattern = re.compile(given["pool_id"])
    app.service.allocation.faults.append(ResizeFault(pattern, error))


async def _set_subnet(app: Application, given: Mapping[str, Any]) -> None:
    app.subnets[given["network"], given["subnet"]] = int(given["limit"]), int(given["used"])


async def _advance(app: Application, given: Mapping[str, Any]) -> str:
    if not isinstance(app.clock, ManualClock):
        msg = "Only the manual clock can be advanced."
        raise TypeError(msg)
    app.clock.advance(given["seconds"])
    return format_instant(app.clock.now())


async def _now(app: Application, _given: Mapping[str, Any]) -> str:
    return format_instant(app.clock.now())


async def _chances(app: Application, given: Mapping[str, Any]) -> dict[str, Any]:
    fault_injector = app.service.fault_injector
    return {"seed": fault_injector.seeded_random.seed, **fault_injector.change(given)}


async def _set_capacity(app: Application, given: Mapping[str, Any]) -> None:
    app.service.capacity.dedicated = given.get("dedicated")
    app.service.capacity.spot = given.get("spot")
    app.keep_limits()
    app.service.allocation.fit_capacity()


async def _preempt(app: Application, given: Mapping[str, Any]) -> list[str]:
    pool = app.service.store.pool(given["pool_id"])
    nodes = app.service.spot.preemptible(pool.id)
    if given["node_id"] is not None:
        nodes = [node for node in nodes if node.id == given["node_id"]]
    if len(nodes) < given["nodes"]:
        msg = f"Pool {pool.id!r} has {len(nodes)} such spot nodes that are not preempted yet."
        raise ValueError(msg)
    taken = nodes[: given["nodes"]]
    app.service.spot.preempt(taken)
    return [node.id for node in taken]


async def _container(app: Application, given: Mapping[str, Any]) -> str:
    return app.storage.open_container(given["name"], given["permissions"], given["expires_in"])


_ACTIONS: Mapping[str, Action] = {
    "reset": _reset,
    "requests": _requests,
    "clear-requests": _clear_requests,
    "inject": _inject,
    "set-node": _set_node,
    "set-quota": _set_quota,
    "set-capacity": _set_capacity,
    "chances": _chances,
    "preempt": _preempt,
    "resize-error": _resize_error,
    "set-subnet": _set_subnet,
    "container": _container,
    "advance": _advance,
    "now": _now,
}
