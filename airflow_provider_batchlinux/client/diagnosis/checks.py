"""Check an account step by step: its endpoint, the login, the rights, and what else commands need."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.api.management import open_management
from airflow_provider_batchlinux.client.nodes.endpoints import require_answer
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.clock import MAX_CLOCK_SKEW, ServiceClock, skew_text
from airflow_provider_batchlinux.client.transport.session import tls_context
from airflow_provider_batchlinux.core.diagnosis.check import Check, cause_first
from airflow_provider_batchlinux.core.node_states import READY_STATES
from airflow_provider_batchlinux.core.pools.preflight import USAGE_FIELDS, usage_of
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchLinuxError

_ANSWER_WITHIN = 10.0
# A firewall drops packets without an answer; a node that answers does so in less than a second.
_SSH_WITHIN = 5.0
# The service accepts 15 minutes; a clock that differs by one minute is not synchronised, and will drift.
_NOTABLE_SKEW = timedelta(minutes=1)
# Reported before the next pool is refused.
_NEARLY_USED = 0.9
_PORTS = {"https": 443, "http": 80}


async def diagnose(
    settings: AccountSettings, storage: StorageAccess, storage_conn_id: str
) -> AsyncGenerator[Check, None]:
    """
    Yield what each step finds. The later steps are left out if the service does not let us in.

    Nothing is changed: whether writes are permitted is asked by deleting a pool that cannot exist.

    :param settings: the account and the identity, without problems.
    :param storage: the storage accounts of the connections.
    :param storage_conn_id: the connection to check.
    """
    yield await check_endpoint(settings)
    clock = ServiceClock()
    async with open_client(settings, clock=clock) as client:
        has_key = settings.auth is AuthKind.SHARED_KEY
        login = await _checked("login", _check_login(client, settings), has_key=has_key)
        yield _clock_check(clock)
        yield login
        if login.outcome == "ok":
            yield await _checked("rights", _check_rights(client))
            yield await _checked("images", _check_images(client))
            yield await _checked("ssh", _check_ssh(client))
            yield await _checked("quotas", _check_quotas(client, settings))
    yield await _checked("storage", _check_storage(storage, storage_conn_id))


async def check_endpoint(settings: AccountSettings) -> Check:
    """
    Check that the host of the account's URL has an address, and answers there.

    :raises ValueError: the file of certificates to trust cannot be read.
    """
    url = urlsplit(settings.endpoint)
    host, port = url.hostname or "", url.port or _PORTS[url.scheme.lower()]
    if getproxies().get(url.scheme) and not proxy_bypass(host):
        text = f"{host} is reached through a proxy; the login shows whether it answers."
        return Check("endpoint", "skipped", text)
    trust = tls_context(settings) if url.scheme.lower() == "https" else None
    began = time.monotonic()
    try:
        async with timeout(_ANSWER_WITHIN):
            _, writer = await asyncio.open_connection(host, port, ssl=trust)
    except asyncio.TimeoutError:
        text = (
            f"{host}:{port} does not answer within {_ANSWER_WITHIN:g} s. Check the firewall and the routes."
        )
        return Check("endpoint", "failed", text)
    except OSError as error:
        remedy = "Check the port, the firewall and the routes."
        if isinstance(error, socket.gaierror):
            remedy = "Check the account's URL, and the name server."
        elif isinstance(error, ssl.SSLError):
            remedy = "A proxy or a private cloud has certificates of its own: name their file as ca_file."
        return Check("endpoint", "failed", f"{host}:{port} cannot be reached: {error}. {remedy}")
    took = (time.monotonic() - began) * 1000
    tls = writer.get_extra_info("ssl_object")
    address = writer.get_extra_info("peername")[0]
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    secured = f" with {tls.version()}" if tls is not None else " without encryption"
    return Check("endpoint", "ok", f"{host}:{port} ({address}) answers in {took:.0f} ms{secured}.")


async def _checked(name: str, check: Awaitable[Check], *, has_key: bool = False) -> Check:
    """Return what a check finds; an error of the client is a failure."""
    try:
        return await check
    except BatchLinuxError as error:
        text = cause_first(str(error), getattr(error, "code", None), has_key=has_key)
        return Check(name, "failed", text)


async def _check_login(client: BatchLinuxClient, settings: AccountSettings) -> Check:
    await client.check()
    account = settings.account_name or settings.endpoint
    return Check("login", "ok", f"Account {account!r} accepts the login {settings.auth.value}.")


def _clock_check(clock: ServiceClock) -> Check:
    if not clock.has_heard:
        return Check("clock", "skipped", "The service has not answered, so its time is not known.")
    ahead = -clock.offset
    if abs(ahead) <= _NOTABLE_SKEW:
        return Check("clock", "ok", "This machine's clock agrees with the service's.")
    return Check("clock", "failed" if abs(ahead) > MAX_CLOCK_SKEW else "warning", skew_text(ahead))


async def _check_rights(client: BatchLinuxClient) -> Check:
    try:
        await client.delete_pool(f"batchlinux-doctor-{secrets.token_hex(8)}")
    except BatchAuthenticationError as error:
        text = cause_first(str(error), error.code, has_key=False)
        return Check("rights", "failed", f"Pools can be read, but not changed. {text}")
    return Check("rights", "ok", "Pools can be read and changed.")


async def _check_images(client: BatchLinuxClient) -> Check:
    images = [image for image in await client.list_images() if image.os_type == "linux"]
    verified = sum(image.verified for image in images)
    text = f"{counted(len(images), 'Linux image')}, {verified} of them verified."
    return Check("images", "ok" if verified else "warning", text)


async def _check_ssh(client: BatchLinuxClient) -> Check:
    for pool in await client.list_pools(["id", "state"]):
        nodes = await client.list_nodes(str(pool["id"])) if pool.get("state") == "active" else []
        found = next(
            ((node.node_id, node.ssh) for node in nodes if node.ssh and node.state in READY_STATES), None
        )
        if found is None:
            continue
        node_id, endpoint = found
        where = f"Node {node_id!r} of pool {pool['id']!r}"
        try:
            await require_answer(endpoint, limit=_SSH_WITHIN)
        except BatchLinuxError as error:
            return Check("ssh", "warning", f"{where}: {error}")
        return Check("ssh", "ok", f"{where} answers at {endpoint.address}:{endpoint.port}.")
    text = "No node that is ready has SSH open to the outside, so nothing was tried. ssh_from opens a pool."
    return Check("ssh", "skipped", text)


async def _check_quotas(client: BatchLinuxClient, settings: AccountSettings) -> Check:
    try:
        async with open_management(settings) as plane:
            region = await plane.region()
    except ValueError as error:
        text = f"{error} Quotas, VM sizes, identities and tags need it; all else works without."
        return Check("quotas", "skipped", text)
    usage = usage_of(await client.list_pools(USAGE_FIELDS), region.sizes)
    limits = region.limits
    rows = [
        ("dedicated cores", usage.dedicated_cores, limits.dedicated_cores),
        ("Spot cores", usage.spot_cores, limits.spot_cores),
        ("pools", len(usage.pool_ids), limits.pools),
    ]
    known = [(what, used, limit) for what, used, limit in rows if limit is not None]
    text = ", ".join(f"{used} of {limit} {what}" for what, used, limit in known) or "no limits are known"
    text = f"{region.name}: {text}; {counted(len(region.sizes), 'VM size')}."
    full = [what for what, used, limit in known if used >= limit * _NEARLY_USED]
    if full:
        remedy = f"Delete pools that are no longer used, or ask for a higher quota of {' and '.join(full)}."
        return Check("quotas", "warning", f"{text} {remedy}")
    return Check("quotas", "ok", text)


async def _check_storage(storage: StorageAccess, conn_id: str) -> Check:
    try:
        account = await storage.check(conn_id)
    except ValueError as error:
        text = f"{error} Inputs, outputs and secrets of commands need it; all else works without."
        return Check("storage", "skipped", text)
    return Check("storage", "ok", f"{account} lets connection {conn_id!r} in.")
