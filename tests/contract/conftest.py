"""What contract tests stand on: the real SDK, speaking to the embedded service, or to Azure."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import formatdate
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from azure.batch import BatchClient, models

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.protocol.auth import sign, string_to_sign
from tests.contract.answer_schema import check_answer
from tests.contract.azure_account import (
    ContractAccount,
    account_from,
    check_empty,
    make_empty,
    require_few_nodes,
    why_skipped,
)
from tests.contract.exchanges import record, record_outcome

Value = TypeVar("Value")
MakePool = Callable[..., str]


@dataclass(frozen=True)
class Answer:
    """
    What came back over the wire; header names are in lower case.

    :param sent: the headers of the request.
    """

    status: int
    headers: dict[str, str]
    content: bytes
    sent: dict[str, str]

    @property
    def body(self) -> Any:
        """The content, read as JSON."""
        return json.loads(self.content)


Send = Callable[..., Answer]

IMAGE = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
    ),
    node_agent_sku_id="batch.node.ubuntu 24.04",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of this folder run against Azure."""
    parser.addoption("--azure", action="store_true", help="run the contract tests against AZURE_BATCH_URL")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse ``--azure`` for an account that is unknown or in use."""
    if not config.getoption("--azure", default=False):
        return
    try:
        check_empty(account_from(os.environ))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip under ``--azure`` what only the embedded service can be asked; what needs no nodes comes first."""
    if not config.getoption("--azure", default=False):
        return
    items.sort(key=lambda item: not {"make_pool", "run_task"}.isdisjoint(getattr(item, "fixturenames", ())))
    for item in items:
        if (reason := why_skipped(getattr(item, "fixturenames", ()))) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how a test has ended, if the environment asks for it."""
    record_outcome(report)


@pytest.fixture(autouse=True)
def every_error_is_read(unread_errors: list[logging.LogRecord]) -> Iterator[None]:
    """Fail if the service logs an error that was not answered; an earlier test may be the cause."""
    yield
    found, unread_errors[:] = [logging.Formatter().format(record) for record in unread_errors], []
    assert not found


@pytest.fixture
def contract_account(request: pytest.FixtureRequest) -> Iterator[ContractAccount]:
    """Give an empty account: of the embedded service, or with ``--azure`` the real one."""
    if request.config.getoption("--azure", default=False):
        account = account_from(os.environ)
        yield account
        make_empty(account)
    else:
        emulator: RunningEmulator = request.getfixturevalue("batch_emulator")
        yield ContractAccount(emulator.endpoint, emulator.account, emulator.key)


@pytest.fixture
def client(contract_account: ContractAccount) -> Iterator[BatchClient]:
    """Give the SDK's client of the account."""
    with contract_account.client() as client:
        yield client


@pytest.fixture
def eventually(
    contract_account: ContractAccount,
) -> Callable[[Callable[[], Value], Callable[[Value], bool]], Value]:
    """Give a function that reads until what it reads holds, as long as the account has patience."""

    def wait(read: Callable[[], Value], holds: Callable[[Value], bool]) -> Value:
        deadline = time.monotonic() + contract_account.patience
        while not holds(value := read()):
            assert time.monotonic() < deadline, f"still {value!r} after {contract_account.patience:g} s"
            contract_account.rest()
        return value

    return wait


@pytest.fixture
def make_pool(client: BatchClient, eventually: Any) -> MakePool:
    """Give a function that creates a pool and waits until its nodes are idle."""

    def make(pool_id: str = "linux", dedicated: int = 1, spot: int = 0, **options: Any) -> str:
        pool = models.BatchPoolCreateOptions(
            id=pool_id,
            vm_size="standard_d2s_v5",
            virtual_machine_configuration=IMAGE,
            target_dedicated_nodes=dedicated,
            target_low_priority_nodes=spot,
            **options,
        )
        client.create_pool(pool)
        eventually(lambda: client.get_pool(pool_id).allocation_state, lambda s: s == "steady")
        states = lambda: [node.state for node in client.list_nodes(pool_id)]  # noqa: E731
        eventually(states, lambda found: set(found) <= {"idle", "starttaskfailed"})
        return pool_id

    return make


@pytest.fixture
def run_task(client: BatchClient, make_pool: MakePool, eventually: Any) -> Callable[..., Any]:
    """Give a function that runs a command on a pool of one node, and returns the ended task."""
    client.create_job(
        models.BatchJobCreateOptions(id="job", pool_info=models.BatchPoolInfo(pool_id=make_pool("workers")))
    )

    def run(command: str, task_id: str = "task", **options: Any) -> models.BatchTask:
        task = models.BatchTaskCreateOptions(id=task_id, command_line=command, **options)
        client.create_task("job", task)
        return eventually(lambda: client.get_task("job", task_id), lambda t: t.state == "completed")

    return run


@pytest.fixture
def nat_pool() -> models.NetworkConfiguration:
    """Give a network configuration that opens SSH."""
    rule = models.BatchInboundNatPool(
        name="ssh",
        protocol="tcp",
        backend_port=22,
        frontend_port_range_start=40000,
        frontend_port_range_end=40099,
    )
    endpoints = models.BatchPoolEndpointConfiguration(inbound_nat_pools=[rule])
    return models.NetworkConfiguration(endpoint_configuration=endpoints)


@pytest.fixture
def send(contract_account: ContractAccount) -> Send:
    """Return a function that sends a signed request and returns the answer."""

    def request(
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        key: str | None = None,
    ) -> Answer:
        if contract_account.most_nodes is not None:
            require_few_nodes(body, contract_account.most_nodes)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        sent = {"ocp-date": formatdate(usegmt=True), **given}
        if body:
            sent = {"content-type": "application/json", **sent, "content-length": str(len(body))}
        account = contract_account if key is None else replace(contract_account, key=key)
        text = string_to_sign(account.account, method, target, sent)
        sent.setdefault("authorization", account.authorization(lambda known: sign(known, text)))
        place = urlsplit(account.endpoint)
        over = HTTPSConnection if place.scheme == "https" else HTTPConnection
        connection = over(place.netloc, timeout=30)
        with closing(connection):
            connection.request(method, target, body or None, sent)
            response = connection.getresponse()
            content = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        record(method, target, body, response.status, names, content)
        if names.get("content-type", "").startswith("application/json"):
            check_answer(f"{account.endpoint}{target}", content)
        return Answer(response.status, names, content, sent)

    return request
