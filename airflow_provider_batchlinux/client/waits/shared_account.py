"""One open client for all waits on an account in an event loop, closed when the last one ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from weakref import WeakKeyDictionary

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.waits.counts_reader import CountsReader, CountsReading
from airflow_provider_batchlinux.client.waits.job_reader import JobReader, JobReading
from airflow_provider_batchlinux.client.waits.poller import Poller
from airflow_provider_batchlinux.client.waits.reader import PoolReader, PoolReading
from airflow_provider_batchlinux.client.waits.room import RoomReader, RoomReading
from airflow_provider_batchlinux.core.room import Room, RoomKind
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchUnreachableError

Opener = Callable[[AccountSettings], AbstractAsyncContextManager[BatchLinuxClient]]


class SharedAccount:
    """
    The client and the pollers that all waits on an account share.

    :param settings: the account and the identity.
    :param client: the open client; only its keeper closes it.
    """

    def __init__(self, settings: AccountSettings, client: BatchLinuxClient) -> None:
        self.settings = settings
        self.client = client
        self.pools: Poller[PoolReading] = Poller(PoolReader(client))
        self.jobs: Poller[JobReading] = Poller(JobReader(client))
        self.counts: Poller[CountsReading] = Poller(CountsReader(client))
        self.rooms: Poller[RoomReading] = Poller(RoomReader(client))
        self._room: dict[RoomKind, Room] = {}

    def room(self, kind: RoomKind) -> Room:
        """Return the room that all waits for the same quota share."""
        return self._room.setdefault(kind, Room(time.monotonic()))


class _Kept:
    """An account that a separate task opens and closes, so that no wait that ends harms the others."""

    def __init__(self, settings: AccountSettings, opener: Opener) -> None:
        self.users = 0
        self.opened: asyncio.Future[SharedAccount] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()
        # Without the log context of the wait that happens to be first.
        self._keeper = Context().run(asyncio.ensure_future, self._keep(settings, opener))

    async def _keep(self, settings: AccountSettings, opener: Opener) -> None:
        try:
            async with opener(settings) as client:
                self.opened.set_result(SharedAccount(settings, client))
                await self._left.wait()
        except Exception as error:  # all waits for the client get it
            if self.opened.done():
                raise
            self.opened.set_exception(error)

    @property
    def failed(self) -> bool:
        """Whether the client could not be opened."""
        return self.opened.done() and self.opened.exception() is not None

    async def close(self) -> None:
        """Close the client, and wait until it is closed."""
        self._left.set()
        await asyncio.wait([self._keeper])


# Settings hold secrets, and are compared with them, so that a new key gets a new client; their repr has none.
_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[AccountSettings, _Kept]] = WeakKeyDictionary()


def acquire_account(settings: AccountSettings, opener: Opener = open_client) -> AccountHandle:
    """
    Return a context manager for the account's client and poller in this event loop.

    A client whose credentials were refused, or that got no answer, is kept by the waits that already use it;
    the next caller gets a new one, with a new session and a new token.

    :param settings: the account and the identity. Settings that differ only in the key get their own client.
    :param opener: how to open a client.
    """
    return AccountHandle(settings, opener)


class AccountHandle:  # a class, because a generator-based context manager would cost each wait a kilobyte
    """One wait's use of a shared account; see :func:`acquire_account`."""

    __slots__ = ("_kept", "_opener", "_settings")

    def __init__(self, settings: AccountSettings, opener: Opener) -> None:
        self._settings = settings
        self._opener = opener

    async def __aenter__(self) -> SharedAccount:
        accounts = _accounts()
        kept = accounts.get(self._settings)
        if kept is None or kept.failed:
            kept = accounts[self._settings] = _Kept(self._settings, self._opener)
        kept.users += 1
        self._kept = kept
        try:
            account = await asyncio.shield(kept.opened)
        except BaseException:
            await self._leave()
            raise
        self._settings = account.settings  # the same for all, so that each wait's own copy can go
        return account

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (BatchAuthenticationError, BatchUnreachableError)):
            self._forget()
        await self._leave()

    async def _leave(self) -> None:
        self._kept.users -= 1
        if not self._kept.users:
            self._forget()
            await self._kept.close()

    def _forget(self) -> None:
        accounts = _accounts()
        if accounts.get(self._settings) is self._kept:
            del accounts[self._settings]


def _accounts() -> dict[AccountSettings, _Kept]:
    return _kept.setdefault(asyncio.get_running_loop(), {})
