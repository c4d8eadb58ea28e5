"""A small client of the control plane, for tests and demos in any process; stdlib only."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant

__all__ = ["EmulatorControl"]


class EmulatorControl:
    """
    Tell a running embedded Batch service what is to happen.

    :param endpoint: URL of the service, as in its ready line.
    :param token: the ``control_token`` of that line; it follows from the account's key.
    :param ca: the file with the authority to trust, as there; ``None`` where it speaks plain HTTP.
    """

    def __init__(self, endpoint: str, token: str, ca: str | Path | None = None) -> None:
        self._address = urlsplit(endpoint).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._tls = None if ca is None else ssl.create_default_context(cafile=ca)

    def reset(self) -> None:
        """Go back to an empty account: no pools, jobs, quotas, faults or recorded requests."""
        self._post("reset")

    def requests(self) -> list[dict[str, Any]]:
        """
        Return the requests to the service so far, in order, without those of the control plane.

        Each has ``method``, ``path``, ``query``, ``status`` (0 if it was dropped) and
        ``operation`` (``None`` if it did not get so far).
        """
        recorded: list[dict[str, Any]] = self._post("requests")
        return recorded

    def clear_requests(self) -> None:
        """Forget the requests so far."""
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
        Let something go wrong with the next requests that match.

        :param method: HTTP method; ``None`` matches every one.
        :param path: regular expression searched for in the path; ``None`` matches every one.
        :param times: how many requests it happens to; ``None`` means all until the next reset.
        :param status: HTTP status to answer with; ``None`` takes the one that belongs to ``code``.
        :param code: code to answer with; ``None`` takes the usual one of the status: for 429
            ``TooManyRequests``, for 503 ``ServerBusy``, else ``InternalError``.
        :param retry_after: seconds for the ``Retry-After`` header; ``None`` sends none.
        :param delay: seconds to wait before the work; ``None`` does not wait.
        :param hold: seconds to hold the answer back after the work; ``None`` answers at once.
        :param drop: close the connection without an answer, ``before`` or ``after`` the work.
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

        From states of booting, such as ``creating``, it goes on by itself. In ``preempted`` it stays until
        it is forced into ``creating`` or capacity is set; :meth:`preempt` lets it come back.

        :param errors: the node's errors, as the service shows them; ``None`` means none.
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

        :param nodes_per_pool: how many nodes a pool with inter-node communication may have.
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
        Say how many nodes Azure has for the account; ``None`` means enough.

        Resizes that lack some wait for more until their ``resizeTimeout``. Spot nodes that there is no
        room for any more are preempted, and return when there is again.
        """
        self._post("set-capacity", {"dedicated": dedicated, "spot": spot})

    def preempt(self, pool_id: str, nodes: int = 1, *, node_id: str | None = None) -> list[str]:
        """
        Take spot nodes away and return their ids; they come back after the profile's delay.

        :param node_id: which node is meant; ``None`` takes those that came first.
        """
        taken: list[str] = self._post("preempt", {"pool_id": pool_id, "nodes": nodes, "node_id": node_id})
        return taken

    def fault_rates(self, **rates: float) -> dict[str, float]:
        """
        Change how likely things go wrong, and return all such chances and the seed.

        :param rates: from 0 to 1 by name, such as ``throttled=0.5``; what is left out stays.
        """
        rates_now: dict[str, float] = self._post("fault-rates", rates)
        return rates_now

    def resize_error(
        self, pool_id: str, code: str, message: str, values: Mapping[str, str] | None = None
    ) -> None:
        """
        Let the next allocation of a matching pool end with an error and without new nodes.

        :param pool_id: regular expression searched for in the pool's id.
        :param values: details of the error; ``None`` means none.
        """
        error = {"pool_id": pool_id, "code": code, "message": message}
        self._post("resize-error", {**error, "values": dict(values or {})})

    def set_subnet(self, network: str, subnet: str, *, limit: int, used: int = 0) -> None:
        """
        Let a virtual network of the account's resource group have a subnet, as the management plane tells it.

        :param limit: addresses for machines.
        :param used: those that are taken; pools of the emulator take none.
        """
        self._post("set-subnet", {"network": network, "subnet": subnet, "limit": limit, "used": used})

    def container(
        self, name: str, permissions: str = "racwdl", *, expires_in: float = 86_400
    ) -> BlobContainer:
        """
        Return a container of the blob store, with a URL for tasks; it is made unless it is there.

        :param permissions: what the URL's token grants, of the letters ``racwdl``: read, add, create, write,
            delete, list.
        :param expires_in: seconds until the token expires, by the service's clock; a negative number makes
            one that has expired.
        """
        container = {"name": name, "permissions": permissions, "expires_in": expires_in}
        return BlobContainer(self._post("container", container))

    def advance(self, seconds: float) -> datetime:
        """Move the manual clock on, firing what falls due, and return the new time."""
        return parse_instant(self._post("advance", {"seconds": seconds}))

    def now(self) -> datetime:
        """Return the service's time."""
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
