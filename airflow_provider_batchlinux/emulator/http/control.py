"""The control plane under ``/_emulator/``: what tests and demos do to the service; server side."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.http import control_arguments
from airflow_provider_batchlinux.emulator.http.control_arguments import Argument, read_arguments
from airflow_provider_batchlinux.emulator.http.status_page import STATUS_HEADERS, status_page
from airflow_provider_batchlinux.emulator.pools.allocation import ResizeFault
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret
from airflow_provider_batchlinux.emulator.protocol.documents import read_json
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.simulation.clock import ManualClock
from airflow_provider_batchlinux.emulator.simulation.faults import Fault
from airflow_provider_batchlinux.emulator.simulation.patterns import Pattern

PREFIX = "/_emulator/"
_STATUS = f"{PREFIX}status"
_DAY = 86_400
_JSON = "application/json"


@dataclass(frozen=True)
class _Action:
    """
    Something the control plane does.

    :param run: is given a value for each name of ``arguments``.
    """

    run: Callable[[EmulatedAccount, Mapping[str, Any]], Awaitable[Any]]
    arguments: Mapping[str, Argument] = field(default_factory=dict)


async def answer_control(account: EmulatedAccount, token: str, request: web.BaseRequest) -> web.Response:
    """
    Do what a request to the control plane asks.

    A request is refused with a sentence:

    - 401 without the token: other users of the machine reach the port, too. A browser may send it as a
      password (Basic), and sends that again without being asked, so it opens the status page only.
    - 415 for another type than ``application/json``: a web page can send ``text/plain`` without asking.
    - 400 for wrong arguments. Whatever passes here fails nowhere later.
    """
    is_status = request.method == "GET" and request.raw_path == _STATUS
    scheme, given = _credentials(request)
    if scheme not in ("bearer", "basic" if is_status else "") or not is_secret(given, token):
        problem = (
            "The control plane asks for 'Authorization: Bearer' with the control_token of the ready line."
        )
        challenge = 'Basic realm="batchlinux-emulator"' if is_status else "Bearer"
        return _refusal(401, problem, {"www-authenticate": challenge})
    if is_status:
        return web.Response(text=status_page(account), content_type="text/html", headers=STATUS_HEADERS)
    action = ACTIONS.get(request.raw_path.removeprefix(PREFIX))
    if request.method != "POST" or action is None:
        return _refusal(404, f"There is no {request.method} {request.raw_path}.")
    if request.content_type != _JSON:
        return _refusal(415, f"The content type is {request.content_type!r}: it must be {_JSON}.")
    try:
        values = read_arguments(action.arguments, read_json(await request.read()))
        return web.json_response(await action.run(account, values))
    except HTTPRequestEntityTooLarge:
        return _refusal(413, "The body is too large.")
    except ServiceError as error:
        return _refusal(400, f"{type(error).__name__}: {error}")
    except (OverflowError, TypeError, ValueError) as error:
        return _refusal(400, str(error))


def _credentials(request: web.BaseRequest) -> tuple[str, str]:
    """Return the scheme of the Authorization header, in lower case, and its token or password."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            given = ""
    return scheme.lower(), given


def _refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers=headers)


async def _reset(account: EmulatedAccount, _given: Mapping[str, Any]) -> None:
    await account.reset()


async def _requests(account: EmulatedAccount, _given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [record.view() for record in account.requests]


async def _clear_requests(account: EmulatedAccount, _given: Mapping[str, Any]) -> None:
    account.requests.clear()


async def _inject(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    pattern = None if given["path"] is None else Pattern(given["path"])
    account.faults.waiting.append(Fault(**{**given, "path": pattern}))


async def _set_node(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    node = account.service.store.node(given["pool_id"], given["node_id"])
    account.service.lifecycle.force(node, given["state"].lower(), tuple(given["errors"] or ()))


async def _set_quota(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        setattr(account.service.quotas, name, value)
    account.save_limits()


async def _resize_error(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    values = given["values"] or {}
    pairs = [{"name": name, "value": value} for name, value in values.items()]
    error = {"code": given["code"], "message": given["message"], "values": pairs}
    account.service.allocation.faults.append(ResizeFault(Pattern(given["pool_id"]), error))


async def _set_subnet(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    return account.service.linked.declare_subnet(given, account.clock.now())


async def _set_public_ip(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    return account.service.linked.declare_public_address(given, account.clock.now())


async def _set_image(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    if given["gallery"] is not None and given["version"] is None:
        msg = "version is missing: an image of a gallery has versions."
        raise ValueError(msg)
    return account.service.linked.declare_image(given, account.clock.now())


async def _set_package(account: EmulatedAccount, given: Mapping[str, Any]) -> dict[str, str]:
    applications, now = account.service.applications, account.clock.now()
    name, version = given["application_id"], given["version"]
    changes = {} if given["display_name"] is None else {"display_name": given["display_name"]}
    application = applications.put(name, {**changes, "allows_updates": True}, now)
    package = applications.put_package(application, version, now)
    # The client uploads the content when it knows the URL.
    account.service.store.put_package(replace(package, activated=now))
    if given["is_default"]:
        applications.put(name, {"default_version": version}, now)
    url = account.storage.container_url(application.container, "w")
    return {"id": account.place.application_id(application.id), "url": url}


async def _advance(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    if not isinstance(account.clock, ManualClock):
        msg = "Only the manual clock can be advanced."
        raise TypeError(msg)
    left = given["seconds"]
    while left > _DAY:
        # Formulas and schedules fall due often in a long time: others are answered in between.
        account.clock.advance(_DAY)
        left -= _DAY
        await asyncio.sleep(0)
    account.clock.advance(left)
    return format_instant(account.clock.now())


async def _now(account: EmulatedAccount, _given: Mapping[str, Any]) -> str:
    return format_instant(account.clock.now())


async def _fault_rates(account: EmulatedAccount, given: Mapping[str, Any]) -> dict[str, Any]:
    fault_injector = account.service.fault_injector
    rates = {name: rate for name, rate in given.items() if rate is not None}
    return {"seed": fault_injector.seeded_random.seed, **fault_injector.change(rates)}


async def _set_capacity(account: EmulatedAccount, given: Mapping[str, Any]) -> None:
    account.service.capacity.dedicated = given["dedicated"]
    account.service.capacity.spot = given["spot"]
    account.save_limits()
    account.service.allocation.fit_capacity()


async def _preempt(account: EmulatedAccount, given: Mapping[str, Any]) -> list[str]:
    pool = account.service.store.pool(given["pool_id"])
    nodes = account.service.spot.preemptible(pool.id)
    if given["node_id"] is not None:
        nodes = [node for node in nodes if node.id == given["node_id"]]
    if len(nodes) < given["nodes"]:
        msg = f"Pool {pool.id!r} has {len(nodes)} such Spot nodes that are not preempted yet."
        raise ValueError(msg)
    taken = nodes[: given["nodes"]]
    account.service.spot.preempt(taken)
    return [node.id for node in taken]


async def _container(account: EmulatedAccount, given: Mapping[str, Any]) -> str:
    return account.storage.open_container(given["name"], given["permissions"], given["expires_in"])


ACTIONS: Mapping[str, _Action] = {
    "reset": _Action(_reset),
    "requests": _Action(_requests),
    "clear-requests": _Action(_clear_requests),
    "inject": _Action(_inject, control_arguments.INJECT),
    "set-node": _Action(_set_node, control_arguments.SET_NODE),
    "set-quota": _Action(_set_quota, control_arguments.SET_QUOTA),
    "set-capacity": _Action(_set_capacity, control_arguments.SET_CAPACITY),
    "fault-rates": _Action(_fault_rates, control_arguments.FAULT_RATES),
    "preempt": _Action(_preempt, control_arguments.PREEMPT),
    "resize-error": _Action(_resize_error, control_arguments.RESIZE_ERROR),
    "set-subnet": _Action(_set_subnet, control_arguments.SET_SUBNET),
    "set-public-ip": _Action(_set_public_ip, control_arguments.SET_PUBLIC_IP),
    "set-image": _Action(_set_image, control_arguments.SET_IMAGE),
    "set-package": _Action(_set_package, control_arguments.SET_PACKAGE),
    "container": _Action(_container, control_arguments.CONTAINER),
    "advance": _Action(_advance, control_arguments.ADVANCE),
    "now": _Action(_now),
}
