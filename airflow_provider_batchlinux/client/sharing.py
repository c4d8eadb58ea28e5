"""One open client for all who use an account in an event loop, closed when the last one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from weakref import WeakKeyDictionary

from airflow_provider_batchlinux.client.account import AccountSettings
from airflow_provider_batchlinux.client.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.pool_poller import PoolPoller
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchUnreachableError

__all__ = ["SharedAccount", "shared_account"]

Opener = Callable[[AccountSettings], AbstractAsyncContextManager[BatchLinuxClient]]


class SharedAccount:
    """
    What all waits on an account share.

    :param client: the open client; nobody but its keeper closes it.
    """

    def __init__(self, client: BatchLinuxClient) -> None:
        self.client = client
        self.poller = PoolPoller(client)


class _Kept:
    """An account that a task of its own opens and closes, so that no user's end can harm the others."""

    def __init__(self, settings: AccountSettings, opener: Opener) -> None:
        self.users = 0
        self.opened: asyncio.Future[SharedAccount] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()
        # Without the log context of whoever happens to come first.
        self._keeper = Context().run(asyncio.ensure_future, self._keep(opener(settings)))

    async def _keep(self, opening: AbstractAsyncContextManager[BatchLinuxClient]) -> None:
        try:
            async with opening as client:
                self.opened.set_result(SharedAccount(client))
                await self._left.wait()
        except Exception as error:  # whatever it is, those who wait for the client are to know it
            if self.opened.done():
                raise
            self.opened.set_exception(error)

    @property
    def failed(self) -> bool:
        """Whether the client could not be opened."""
        return self.opened.done() and self.opened.exception() is not None

    async def close(self) -> None:
        """Close the client, and come back when that is done."""
        self._left.set()
        await asyncio.wait([self._keeper])


# Settings hold secrets, and are compared with them, so that a new key gets a new client; their repr has none.
_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[AccountSettings, _Kept]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_account(
    settings: AccountSettings, opener: Opener = open_client
) -> AsyncIterator[SharedAccount]:
    """
    Give the account's one open client of this event loop, and its poller.

    A client that met a refusal of the identity, or no answer at all, is left to those who have it; whoever
    comes after them gets a new one, with a new session and a new token.

    :param settings: the account and the identity; others, if only the key is new, have a client of their own.
    :param opener: how to open a client.
    """
    accounts = _kept.setdefault(asyncio.get_running_loop(), {})
    kept = accounts.get(settings)
    if kept is None or kept.failed:
        kept = accounts[settings] = _Kept(settings, opener)
    kept.users += 1
    try:
        yield await asyncio.shield(kept.opened)
    except (BatchAuthenticationError, BatchUnreachableError):
        _forget(accounts, settings, kept)
        raise
    finally:
        kept.users -= 1
        if not kept.users:
            _forget(accounts, settings, kept)
            await kept.close()


def _forget(accounts: dict[AccountSettings, _Kept], settings: AccountSettings, kept: _Kept) -> None:
    if accounts.get(settings) is kept:
        del accounts[settings]
