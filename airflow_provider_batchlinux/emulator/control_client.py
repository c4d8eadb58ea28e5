"""A client of the control plane, for tests and demos in any process."""

from __future__ import annotations

import http.client
import io
import json
import ssl
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant


class EmulatorControl:
    """
    Control a running embedded Batch service.

    .. code-block:: python

        control = EmulatorControl(
            os.environ["AZURE_BATCH_ENDPOINT"], os.environ["BATCHLINUX_EMULATOR_CONTROL_TOKEN"]
        )
        control.inject(method="GET", path="/pools", status=503, times=3)

    :param endpoint: URL of the service, as in its ready line.
    :param token: the ``control_token`` of that line; it follows from the account's key.
    :param ca: the file with the authority to trust, as there; ``None`` where it speaks plain HTTP.
    """

    def __init__(self, endpoint: str, token: str, ca: str | Path | None = None) -> None:
        self._address = urlsplit(endpoint).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._tls = None if ca is None else ssl.create_default_context(cafile=ca)

    def reset(self) -> None:
        """Empty the account: remove all resources, quotas, faults and recorded requests."""
        self._post("reset")

    def requests(self) -> list[dict[str, Any]]:
        """
        Return the recorded requests in order, without those to the control plane.

        Each has ``method``, ``path``, ``query``, ``status`` (0 if the connection was dropped) and
        ``operation`` (``None`` if it did not match one).
        """
        recorded: list[dict[str, Any]] = self._post("requests")
        return recorded

    def clear_requests(self) -> None:
        """Clear the record of requests."""
        self._post("clear-requests")

    def inject(
        self,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        delay: float | None = None,
        hold: float | None = None,
        drop: Literal["before", "after"] | None = None,
    ) -> None:
        """
        Inject a fault into the next matching requests.

        :param method: HTTP method; ``None`` matches any.
        :param path: regular expression searched for in the path; ``None`` matches every one.
        :param times: number of requests it affects; ``None`` affects all until the next reset.
        :param status: HTTP status of the answer; ``None`` uses the status of ``code``.
        :param code: error code of the answer; ``None`` uses the usual code of the status: ``TooManyRequests``
            for 429, ``ServerBusy`` for 503, otherwise ``InternalError``.
        :param retry_after: seconds in the ``Retry-After`` header; ``None`` sends none.
        :param delay: seconds to wait before the request is executed; ``None`` does not wait.
        :param hold: seconds to wait between execution and answer; ``None`` does not wait.
        :param drop: close the connection without an answer, ``before`` or ``after`` the execution.
        """
        fault = {
            "method": method,
            "path": path,
            "times": times,
            "status": status,
            "code": code,
            "retry_after": retry_after,
            "delay": delay,
            "hold": hold,
            "drop": drop,
        }
        self._post("inject", fault)

    def set_node(
        self,
        pool_id: str,
        node_id: str,
        state: str,
        errors: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """
        Force a node into a state, such as ``unusable`` or ``unknown``.

        From states such as ``creating`` it continues to boot. In ``preempted`` it stays until it is forced
        into ``creating`` or capacity is set. A node preempted with :meth:`preempt` returns.

        :param errors: the ``errors`` of the node; ``None`` for no errors.
        """
        node = {"pool_id": pool_id, "node_id": node_id, "state": state}
        self._post("set-node", {**node, "errors": list(errors or ())})

    def set_quota(
        self,
        dedicated_cores: int | None = None,
        spot_cores: int | None = None,
        pools: int | None = None,
        active_jobs: int | None = None,
        nodes_per_pool: int | None = None,
    ) -> None:
        """
        Set the account's quotas; ``None`` means no limit.

        :param nodes_per_pool: maximum number of nodes in a pool with inter-node communication.
        """
        quotas = {
            "dedicated_cores": dedicated_cores,
            "spot_cores": spot_cores,
            "pools": pools,
            "active_jobs": active_jobs,
            "nodes_per_pool": nodes_per_pool,
        }
        self._post("set-quota", quotas)

    def set_capacity(self, dedicated: int | None = None, spot: int | None = None) -> None:
        """
        Set how many nodes Azure has for the account; ``None`` means unlimited.

        A resize without enough capacity waits until its ``resizeTimeout``. Spot nodes beyond the capacity are
        preempted, and return when it grows.
        """
        self._post("set-capacity", {"dedicated": dedicated, "spot": spot})

    def preempt(self, pool_id: str, nodes: int = 1, *, node_id: str | None = None) -> list[str]:
        """
        Preempt Spot nodes, and return their ids. They return after the delay of the profile.

        :param node_id: the node to preempt; ``None`` preempts the oldest.
        """
        taken: list[str] = self._post("preempt", {"pool_id": pool_id, "nodes": nodes, "node_id": node_id})
        return taken

    def fault_rates(self, **rates: float) -> dict[str, float]:
        """
        Change the rates of random faults, and return all rates and the seed.

        :param rates: rates from 0 to 1, such as ``throttled=0.5``; other rates do not change.
        """
        rates_now: dict[str, float] = self._post("fault-rates", rates)
        return rates_now

    def resize_error(
        self, pool_id: str, code: str, message: str, values: Mapping[str, str] | None = None
    ) -> None:
        """
        Let the next allocation of a matching pool fail with a resize error, without new nodes.

        :param pool_id: regular expression searched for in the pool's id.
        :param values: details of the error; ``None`` for no details.
        """
        error = {"pool_id": pool_id, "code": code, "message": message}
        self._post("resize-error", {**error, "values": dict(values or {})})

    def set_subnet(
        self,
        network: str,
        subnet: str,
        *,
        prefix: str | None = None,
        limit: int | None = None,
        used: int = 0,
        location: str | None = None,
        denied_to: Literal["caller", "batch"] | None = None,
        denies_batch: bool = False,
        denies_ssh: bool = False,
        is_delegated: bool = False,
    ) -> str:
        """
        Add a subnet to a virtual network in the account's resource group, and return its ARM id.

        :param prefix: its address range; ``None`` is one that has room for ``limit``.
        :param limit: number of addresses for machines; ``None`` is what its range has.
        :param used: number of addresses that others use. Each node of a pool uses one more.
        :param location: region of its network; ``None`` is that of the account.
        :param denied_to: who lacks the permission to use it; ``None`` for no one.
        :param denies_batch: whether its security group keeps nodes from reaching Batch, so that they become
            ``unusable``.
        :param denies_ssh: whether its security group lets no SSH in from the Internet.
        :param is_delegated: whether it is delegated to another service, so that no node is allocated.
        """
        facts = {
            "network": network,
            "subnet": subnet,
            "prefix": prefix,
            "limit": limit,
            "used": used,
            "location": location,
            "denied_to": denied_to,
            "denies_batch": denies_batch,
            "denies_ssh": denies_ssh,
            "is_delegated": is_delegated,
        }
        return str(self._post("set-subnet", facts))

    def set_public_ip(
        self,
        name: str,
        *,
        location: str | None = None,
        denied_to: Literal["caller", "batch"] | None = None,
    ) -> str:
        """
        Add a public IP address to the account's resource group, and return its ARM id.

        :param location: its region; ``None`` is that of the account.
        :param denied_to: who lacks the permission to use it; ``None`` for no one.
        """
        return str(self._post("set-public-ip", {"name": name, "location": location, "denied_to": denied_to}))

    def set_image(
        self,
        name: str,
        *,
        gallery: str | None = None,
        version: str | None = None,
        node_agent_sku: str | None = None,
        generation: int = 2,
        architecture: Literal["x64", "Arm64"] = "x64",
        location: str | None = None,
        denied_to: Literal["caller", "batch"] | None = None,
    ) -> str:
        """
        Add an image to the account's resource group, and return its ARM id.

        :param gallery: the gallery of the image, which gets a ``version``; ``None`` for a managed image.
        :param node_agent_sku: the only node agent that runs on it: with another one, nodes become
            ``unusable``; ``None`` for all.
        :param generation: its Hyper-V generation, 1 or 2.
        :param location: its region; ``None`` is that of the account.
        :param denied_to: who lacks the permission to use it; ``None`` for no one.
        """
        facts = {
            "name": name,
            "gallery": gallery,
            "version": version,
            "node_agent_sku": node_agent_sku,
            "generation": generation,
            "architecture": architecture,
            "location": location,
            "denied_to": denied_to,
        }
        return str(self._post("set-image", facts))

    def set_package(
        self,
        application_id: str,
        version: str,
        files: Mapping[str, str | bytes] | bytes,
        *,
        is_default: bool = True,
        display_name: str | None = None,
    ) -> str:
        """
        Add an application package, or replace it, and return the ARM id of its application.

        Azure does so with its management plane, for example by ``az batch application package create``.

        :param files: a zip file, or content by path. Files whose content begins with ``#!`` are executable.
        :param is_default: whether it is the default version.
        """
        package = {"application_id": application_id, "version": version}
        more = {"is_default": is_default, "display_name": display_name}
        made: dict[str, str] = self._post("set-package", {**package, **more})
        packed = files if isinstance(files, bytes) else _zipped(files)
        BlobContainer(made["url"]).put(version, packed, "application/zip")
        return made["id"]

    def container(
        self, name: str, permissions: str = "racwdl", *, expires_in: float = 86_400
    ) -> BlobContainer:
        """
        Create a container in the blob store if it does not exist, and return it with a SAS URL.

        :param permissions: permissions of the SAS, of the letters ``racwdl``: read, add, create, write,
            delete, list.
        :param expires_in: seconds until the SAS expires, by the service's clock; negative for one that has
            expired.
        """
        container = {"name": name, "permissions": permissions, "expires_in": expires_in}
        return BlobContainer(self._post("container", container))

    def advance(self, seconds: float) -> datetime:
        """Advance the manual clock, fire the timers that become due, and return the new time."""
        return parse_instant(self._post("advance", {"seconds": seconds}))

    def now(self) -> datetime:
        """Return the time of the service."""
        return parse_instant(self._post("now"))

    def _post(self, action: str, body: Mapping[str, Any] | None = None) -> Any:
        connection = self._connection()
        try:
            connection.request("POST", f"/_emulator/{action}", json.dumps(body or {}), self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            msg = f"The emulator refused {action!r}: {answer['error']}"
            raise ValueError(msg)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._address, timeout=60)
        return http.client.HTTPSConnection(self._address, timeout=60, context=self._tls)


def _zipped(files: Mapping[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o755 if raw.startswith(b"#!") else 0o644) << 16
            archive.writestr(entry, raw)
    return packed.getvalue()
