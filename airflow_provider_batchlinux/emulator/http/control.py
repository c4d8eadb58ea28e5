"""The control plane under ``/_emulator/``: what tests and demos do to the service; server side."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from airflow_provider_batchlinux.emulator.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.handlers.serializers import COUNTED_STATES
from airflow_provider_batchlinux.emulator.pools.allocation import ResizeFault
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.simulation.clock import ManualClock
from airflow_provider_batchlinux.emulator.simulation.faults import Fault

PREFIX = "/_emulator/"
Action = Callable[[EmulatedAccount, Mapping[str, Any]], Awaitable[Any]]


async def answer_control(account: EmulatedAccount, request: web.BaseRequest) -> web.Response:
    """Do what a request to the control plane asks; wrong requests get a sentence and 400."""
    action = _ACTIONS.get(request.raw_path.removeprefix(PREFIX))
    if request.method != "POST" or action is None:
        return web.json_response({"error": f"There is no {request.raw_path}."}, status=404)
    try:
        return web.json_response(await action(account, json.loads(await request.read() or b"{}")))
    except (ServiceError, TypeError, ValueError, KeyError, re.error) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)


async def _reset(account: EmulatedAccount, _given: Mapping[str, Any]) -> None:
    await account.reset()


async def _requests(account: EmulatedAccount, _given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [record.view() for record in account.requests]


async def _clear_requests(account: EmulatedAccount, _given: Mapping[str, Any]) -> None:
    account.requests.clear()


async def _inject(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    path = given.get("path")
    pattern = None if path is None else re.compile(path)
    account.faults.waiting.append(Fault(**{**given, "path": pattern}))


async def _set_node(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    node = account.service.store.node(given["pool_id"], given["node_id"])
    state = given["state"].lower()
    if state not in COUNTED_STATES:
        msg = f"{state!r} is not the state of a node."
        raise ValueError(msg)
    account.service.lifecycle.force(node, state, tuple(given.get("errors") or ()))


async def _set_quota(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if not hasattr(account.service.quotas, name):
            msg = f"There is no quota {name!r}."
            raise ValueError(msg)
        setattr(account.service.quotas, name, value)
    account.save_limits()


async def _resize_error(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    values = given.get("values") or {}
    pairs = [{"name": name, "value": value} for name, value in values.items()]
    error = {"code": given["code"], "message": given["message"], "values": pairs}
    pattern = re.compile(given["pool_id"])
    account.service.allocation.faults.append(ResizeFault(pattern, error))


async def _set_subnet(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    account.subnets[given["network"], given["subnet"]] = int(given["limit"]), int(given["used"])


async def _advance(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    if not isinstance(account.clock, ManualClock):
        msg = "Only the manual clock can be advanced."
        raise TypeError(msg)
    account.clock.advance(given["seconds"])
    return format_instant(account.clock.now())


async def _now(account: EmulatedAccount, _given: Mapping[str, Any]) -> str:
    return format_instant(account.clock.now())


async def _fault_rates(account: EmulatedAccount, given: Mapping[str, Any]) -> dict[str, Any]:
    fault_injector = account.service.fault_injector
    return {"seed": fault_injector.seeded_random.seed, **fault_injector.change(given)}


async def _set_capacity(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    account.service.capacity.dedicated = given.get("dedicated")
    account.service.capacity.spot = given.get("spot")
    account.save_limits()
    account.service.allocation.fit_capacity()


async def _preempt(account: EmulatedAccount, given: Mapping[str, Any]) -> list[str]:
    pool = account.service.store.pool(given["pool_id"])
    nodes = account.service.spot.preemptible(pool.id)
    if given["node_id"] is not None:
        nodes = [node for node in nodes if node.id == given["node_id"]]
    if len(nodes) < given["nodes"]:
        msg = f"Pool {pool.id!r} has {len(nodes)} such spot nodes that are not preempted yet."
        raise ValueError(msg)
    taken = nodes[: given["nodes"]]
    account.service.spot.preempt(taken)
    return [node.id for node in taken]


async def _container(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    return account.storage.open_container(given["name"], given["permissions"], given["expires_in"])


_ACTIONS: Mapping[str, Action] = {
    "reset": _reset,
    "requests": _requests,
    "clear-requests": _clear_requests,
    "inject": _inject,
    "set-node": _set_node,
    "set-quota": _set_quota,
    "set-capacity": _set_capacity,
    "fault-rates": _fault_rates,
    "preempt": _preempt,
    "resize-error": _resize_error,
    "set-subnet": _set_subnet,
    "container": _container,
    "advance": _advance,
    "now": _now,
}
