"""Starts and stops the embedded service, on this event loop or in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from threading import Thread

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount, last_change
from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from airflow_provider_batchlinux.emulator.blobs.server import serving_blobs
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage, StorageFacts, derive_key
from airflow_provider_batchlinux.emulator.control_client import EmulatorControl
from airflow_provider_batchlinux.emulator.http.app import Application
from airflow_provider_batchlinux.emulator.identity.gate import Gate
from airflow_provider_batchlinux.emulator.identity.server import (
    IdentityFacts,
    ServedIdentity,
    serve_identity,
)
from airflow_provider_batchlinux.emulator.identity.tls import LoopbackTls, make_loopback_tls
from airflow_provider_batchlinux.emulator.management.arm import ManagementFacts
from airflow_provider_batchlinux.emulator.management.server import serving_management
from airflow_provider_batchlinux.emulator.protocol.listener import loopback_socket, serving_on
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, ManualClock, SystemClock
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.state.persisted_settings import account_key, control_token
from airflow_provider_batchlinux.emulator.state.state_file import StateFile
from airflow_provider_batchlinux.emulator.state.workdir import workdir


@dataclass(frozen=True)
class RunningEmulator:
    """
    A running service, and how to connect to it.

    :param control: client of its control plane.
    :param control_token: secret of the control plane, for an :class:`EmulatorControl` in another process.
    :param storage: its blob store.
    :param ca: file with the certificate authority for its clients; ``None`` over plain HTTP.
    :param identity: its Entra tenant; ``None`` over plain HTTP.
    :param management: its management plane; ``None`` over plain HTTP.
    """

    endpoint: str
    account: str
    key: str = field(repr=False)
    control: EmulatorControl
    control_token: str = field(repr=False)
    storage: StorageFacts
    ca: Path | None = None
    identity: IdentityFacts | None = None
    management: ManagementFacts | None = None

    def container(
        self, name: str, permissions: str = "racwdl", *, expires_in: float = 86_400
    ) -> BlobContainer:
        """Return a container of its blob store; see :meth:`EmulatorControl.container`."""
        return self.control.container(name, permissions, expires_in=expires_in)


@asynccontextmanager
async def serving(options: EmulatorOptions) -> AsyncIterator[RunningEmulator]:
    """Run the service on this event loop. At the end its processes, ports and temporary files are gone."""
    with workdir(options) as place, loopback_socket(options.port) as listener:
        key = account_key(options, place.state)
        tls = None if options.tls is None else make_loopback_tls(options.tls)
        clock = _clock(options, place.state)
        storage = BlobStorage(place.blobs, derive_key(key), clock.now)
        async with (
            nullcontext() if tls is None else serve_identity(tls) as identity,
            serving_blobs(storage, options.blob_port, tls, identity.local if identity else None),
        ):
            gate = Gate(options, key, identity.local if identity else None)
            endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
            account = EmulatedAccount(options, clock, place, endpoint, storage)
            application = Application(account, gate, control_token(key))
            try:
                async with (
                    serving_on(listener, application.handle, tls.context if tls else None),
                    _management(tls, identity, account, application, key) as management,
                ):
                    running = _running(endpoint, options.account, key, storage.facts, tls, identity)
                    yield replace(running, management=management)
            finally:
                await account.close()


@contextmanager
def run_emulator(options: EmulatorOptions | None = None) -> Iterator[RunningEmulator]:
    """
    Run the service in a thread with its own event loop.

    .. code-block:: python

        with run_emulator(EmulatorOptions(profile="faulty", seed=7)) as emulator:
            os.environ["AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT"] = airflow_connection(
                emulator.endpoint, emulator.account, emulator.key
            )
            emulator.control.set_quota(dedicated_cores=8)

    :param options: ``None`` uses the defaults.
    :raises OSError: the port is in use.
    """
    started: Future[tuple[RunningEmulator, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = Thread(
        target=lambda: asyncio.run(_serve_until_stopped(options or EmulatorOptions(), started)),
        name="batchlinux-emulator",
        daemon=True,
    )
    thread.start()
    emulator, loop, stop = started.result()
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve_until_stopped(
    options: EmulatorOptions,
    started: Future[tuple[RunningEmulator, asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    stop = asyncio.Event()
    try:
        async with serving(options) as emulator:
            started.set_result((emulator, asyncio.get_running_loop(), stop))
            await stop.wait()
    except BaseException as error:
        # run_emulator waits for the start in another thread, and raises the error there.
        if started.done():
            raise
        started.set_exception(error)


def _management(
    tls: LoopbackTls | None,
    identity: ServedIdentity | None,
    account: EmulatedAccount,
    application: Application,
    key: str,
) -> AbstractAsyncContextManager[ManagementFacts | None]:
    if tls is None or identity is None:
        return nullcontext()
    return serving_management(tls, identity.local, account, key, application.act)


def _running(
    endpoint: str,
    account: str,
    key: str,
    storage: StorageFacts,
    tls: LoopbackTls | None,
    identity: ServedIdentity | None,
) -> RunningEmulator:
    ca = tls.ca if tls else None
    return RunningEmulator(
        endpoint=endpoint,
        account=account,
        key=key,
        control=EmulatorControl(endpoint, control_token(key), ca),
        control_token=control_token(key),
        storage=storage,
        ca=ca,
        identity=identity.facts if identity else None,
    )


def _clock(options: EmulatorOptions, state: StateFile | None) -> Clock:
    if options.clock == "system":
        return SystemClock()
    now = datetime.now(timezone.utc)
    last = None if state is None else last_change(state)
    # A manual clock may have been ahead of the system clock: time must not go back for saved records.
    return ManualClock(now if last is None else max(now, last))
