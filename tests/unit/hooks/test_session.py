"""A hook's session: one open client for several runs of synchronous code."""

from __future__ import annotations

import asyncio
import gc
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchRequestError,
    BatchUnreachableError,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from tests.conftest import set_connection

WRONG_KEY = "c2VjcmV0IGtleQ=="


class TimeOutError(BaseException):
    """Like the error by which Airflow ends a task that takes too long."""


@contextmanager
def handler_of_alarms(handler: Callable[..., None]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def itself(client: BatchLinuxClient) -> BatchLinuxClient:
    return client


def test_all_runs_have_the_same_client(account):
    account.make_pool()

    with BatchLinuxHook().session() as session:
        clients = {session.run(itself) for _ in range(3)}
        pool = session.run(lambda client: client.find_pool("etl"))

    assert len(clients) == 1
    assert pool is not None
    assert account.requests()[-1:] == ["GET /pools/etl"]


def test_the_client_is_closed_at_the_end(account):
    with BatchLinuxHook().session() as session:
        client = session.run(itself)

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(client.find_pool("etl"))


@pytest.mark.usefixtures("account")
def test_an_error_of_the_work_leaves_the_session_usable():
    with BatchLinuxHook().session() as session:
        client = session.run(itself)
        with pytest.raises(BatchRequestError, match="PoolNotFound"):
            session.run(lambda client: client.list_nodes("nowhere"))

        assert session.run(itself) is client


def test_a_session_works_where_a_loop_runs_already(account):
    account.make_pool()

    async def notebook() -> list[bool]:
        with BatchLinuxHook().session() as session:
            pool = session.run(lambda client: client.find_pool("etl"))
            return [pool is not None, session.run(lambda client: client.delete_pool("nowhere"))]

    assert asyncio.run(notebook()) == [True, False]


def test_nothing_is_read_or_opened_before_the_first_run(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", raising=False)

    with BatchLinuxHook("no_such_connection").session():
        pass


def test_a_key_that_is_rotated_meanwhile_is_read_from_the_connection(account, monkeypatch):
    set_connection(monkeypatch, account.service, key=WRONG_KEY)

    with BatchLinuxHook().session() as session:
        assert session.settings.account_key == WRONG_KEY
        set_connection(monkeypatch, account.service)

        assert session.run(lambda client: client.find_pool("etl")) is None
        assert session.settings.account_key == account.service.key


def test_credentials_that_are_still_refused_are_not_tried_again(account, monkeypatch):
    set_connection(monkeypatch, account.service, key=WRONG_KEY)

    with BatchLinuxHook().session() as session, pytest.raises(BatchAuthenticationError):
        session.run(lambda client: client.find_pool("etl"))

    assert account.requests() == ["GET /pools/etl"]


def test_after_an_outage_the_next_run_opens_another_client(account, monkeypatch):
    set_connection(monkeypatch, account.service, account_url="http://127.0.0.1:1", retry_budget=0)

    with BatchLinuxHook().session() as session:
        client = session.run(itself)
        with pytest.raises(BatchUnreachableError):
            session.run(lambda client: client.find_pool("etl"))

        assert session.run(itself) is not client


@pytest.mark.usefixtures("account")
def test_work_that_a_signal_handler_ends_is_cancelled_before_the_next_run():
    seen: list[str] = []

    async def endless(_client: BatchLinuxClient) -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    def time_out(*_arguments: object) -> None:
        raise TimeOutError

    with BatchLinuxHook().session() as session, handler_of_alarms(time_out):
        with pytest.raises(TimeOutError):
            session.run(endless)

        assert seen == ["cleaned up"]
        assert session.run(itself)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("is_endless", [True, False])
def test_a_time_out_that_is_raised_in_a_callback_of_the_event_loop_ends_the_work(is_endless, caplog):
    seen: list[str] = []

    def time_out() -> None:
        raise TimeOutError

    async def work(_client: BatchLinuxClient) -> None:
        asyncio.get_running_loop().call_soon(time_out)
        try:
            if is_endless:
                async with timeout(30):
                    await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    with BatchLinuxHook().session() as session:
        with pytest.raises(TimeOutError):
            session.run(work)

        assert seen == ["cleaned up"]
        assert session.run(itself)
    assert caplog.text == ""


@pytest.mark.usefixtures("account")
def test_another_error_in_a_callback_of_the_event_loop_is_logged_and_the_work_goes_on(caplog):
    async def work(_client: BatchLinuxClient) -> str:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        return "went on"

    with BatchLinuxHook().session() as session:
        assert session.run(work) == "went on"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("turns", range(1, 6))
def test_an_interruption_while_a_session_closes_leaves_nothing_half_closed(account, turns, caplog):
    account.make_pool()

    def interrupt_after(turns: int) -> None:
        if turns == 0:
            raise KeyboardInterrupt
        asyncio.get_running_loop().call_soon(interrupt_after, turns - 1)

    async def work(client: BatchLinuxClient) -> None:
        await client.find_pool("etl")  # leaves a connection open
        interrupt_after(turns)

    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt), BatchLinuxHook().session() as session:
            session.run(work)
        del session
        gc.collect()

    assert [str(warning.message) for warning in seen] == []
    assert caplog.text == ""


@pytest.mark.usefixtures("account")
def test_a_signal_handler_uses_the_hook_and_not_the_busy_session():
    hook = BatchLinuxHook()
    answers: list[object] = []

    with hook.session() as session:

        def on_signal(*_arguments: object) -> None:
            with pytest.raises(RuntimeError, match=r"Use BatchLinuxHook.run\(\)"):
                session.run(itself)
            answers.append(hook.run(lambda client: client.find_pool("etl")))

        async def interrupted(_client: BatchLinuxClient) -> str:
            signal.raise_signal(signal.SIGALRM)
            await asyncio.sleep(0)
            return "went on"

        with handler_of_alarms(on_signal):
            assert session.run(interrupted) == "went on"

    assert answers == [None]
