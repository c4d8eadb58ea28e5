"""The account that contract tests speak to: an embedded one, or with ``--azure`` a real one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from tests.contract.answer_schema import SchemaCheck
from tests.contract.exchanges import Recorder

__all__ = [
    "ContractAccount",
    "account_from",
    "check_empty",
    "make_empty",
    "nodes_in",
    "require_few_nodes",
    "why_skipped",
]

SCOPE = "https://batch.core.windows.net//.default"


@dataclass(frozen=True)
class ContractAccount:
    """
    An account that contract tests may fill and empty.

    :param key: the account's key; ``None`` takes a token of Entra.
    :param patience: seconds in which a state is to be reached.
    :param pause: seconds between two polls. Azure limits requests; the embedded service shares our CPU.
    :param most_nodes: how many nodes a request may ask for; ``None`` for any number.
    """

    endpoint: str
    account: str
    key: str | None = field(default=None, repr=False)
    patience: float = 10.0
    pause: float = 0.01
    most_nodes: int | None = None

    def client(self) -> BatchClient:
        """
        Return the SDK's client, which does not retry: what the service answers is what is tested.

        Every answer is held against the SDK's models.
        """
        policies = [SchemaCheck(), Recorder(), NodeLimit(self.most_nodes)]
        return BatchClient(self.endpoint, self._credential(), retry_total=0, per_retry_policies=policies)

    def rest(self) -> None:
        """Let some time go by between two looks."""
        Event().wait(self.pause)

    def authorization(self, signature: Callable[[str], str]) -> str:
        """
        Return the header that lets a request in.

        :param signature: gives what the request is signed with by a key.
        """
        if self.key is not None:
            return f"SharedKey {self.account}:{signature(self.key)}"
        return f"Bearer {self._credential().get_token(SCOPE).token}"

    def _credential(self) -> Any:
        if self.key is not None:
            return AzureNamedKeyCredential(self.account, self.key)
        from azure.identity import DefaultAzureCredential

        # An authority outside the public cloud's list of known hosts is one that the environment names.
        return DefaultAzureCredential(disable_instance_discovery="AZURE_AUTHORITY_HOST" in os.environ)


class NodeLimit(SansIOHTTPPolicy[Any, Any]):
    """
    Skips a test that asks for more nodes than are allowed, before the request is sent.

    :param most: the number of nodes; ``None`` for any.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Skip the test if its request asks for too many nodes."""
        content = request.http_request.content
        if self.most is not None and isinstance(content, (str, bytes)):
            require_few_nodes(content, self.most)


def require_few_nodes(content: str | bytes, most: int) -> None:
    """Skip the test if a request asks for more nodes than are allowed."""
    try:
        wanted = nodes_in(json.loads(content))
    except (ValueError, RecursionError):
        return
    if wanted > most:
        pytest.skip(f"It asks for {wanted} nodes; at most {most} are allowed.")


def nodes_in(body: Any) -> int:
    """Return how many nodes a request asks for, for a pool or for the automatic pool of a job."""
    if isinstance(body, list):
        return sum(map(nodes_in, body))
    if not isinstance(body, dict):
        return 0
    own = (body.get(name) for name in ("targetDedicatedNodes", "targetLowPriorityNodes"))
    return sum(int(count) for count in own if isinstance(count, (int, str)) and str(count).isdigit()) + sum(
        map(nodes_in, body.values())
    )


def account_from(environ: Mapping[str, str]) -> ContractAccount:
    """
    Return the real account that the environment names.

    :raises ValueError: the environment does not say which.
    """
    url = environ.get("AZURE_BATCH_URL", "").rstrip("/")
    host = urlsplit(url).hostname
    if not host:
        msg = "--azure needs AZURE_BATCH_URL, such as https://NAME.westeurope.batch.azure.com."
        raise ValueError(msg)
    account = environ.get("AZURE_BATCH_ACCOUNT") or host.partition(".")[0]
    key = environ.get("AZURE_BATCH_KEY") or None
    most = environ.get("AZURE_BATCH_NODES")
    return ContractAccount(
        url,
        account,
        key,
        patience=1200.0,
        pause=float(environ.get("AZURE_BATCH_PAUSE", "5")),
        most_nodes=int(most) if most else None,
    )


def why_skipped(fixtures: Collection[str]) -> str | None:
    """Return why a test that uses these fixtures cannot run against Azure; ``None`` if it can."""
    if "batch_emulator" in fixtures:
        return "It steers the embedded service: its control plane, clock, faults or blob store."
    return None


def check_empty(account: ContractAccount) -> None:
    """
    Refuse an account that holds anything: the tests would delete it.

    :raises ValueError: it has pools, jobs or schedules.
    """
    with account.client() as client:
        found: list[str] = [item.id for item in _everything(client)]
    if found:
        msg = f"--azure needs an empty account; {account.account!r} has {', '.join(found[:5])}."
        raise ValueError(msg)


def make_empty(account: ContractAccount) -> None:
    """
    Delete all that a test has left behind, and return when it is gone.

    :raises TimeoutError: it is not gone for longer than any state may take.
    """
    deadline = time.monotonic() + account.patience
    with account.client() as client:
        deletions: tuple[tuple[Callable[[], Any], Callable[..., Any]], ...] = (
            (client.list_job_schedules, client.begin_delete_job_schedule),
            (client.list_jobs, client.begin_delete_job),
            (client.list_pools, client.begin_delete_pool),
        )
        for listed, delete in deletions:
            while found := list(listed()):
                if time.monotonic() > deadline:
                    msg = f"still there after {account.patience:g} s: {', '.join(item.id for item in found)}"
                    raise TimeoutError(msg)
                for item in found:
                    _unless_gone(delete, item.id, account.pause)
                account.rest()


def _everything(client: Any) -> list[Any]:
    return [*client.list_job_schedules(), *client.list_jobs(), *client.list_pools()]


def _unless_gone(delete: Callable[..., Any], item_id: str, pause: float) -> None:
    try:
        delete(item_id, polling_interval=max(1, pause)).result()
    except (ResourceNotFoundError, ResourceExistsError):
        # It is gone, or being deleted: the next list says which.
        return
