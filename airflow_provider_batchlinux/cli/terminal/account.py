"""The account that a command uses."""

from __future__ import annotations

import getpass
import io
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_batchlinux.cli.terminal.output import say

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.storage.access import StorageAccess
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

T = TypeVar("T")

CONN_VARIABLE = "BATCHLINUX_CONN"

_PATIENCE = 30.0
"""Seconds over which a request is retried: a person does not wait for minutes as a task does."""


def add_account_options(parser: ArgumentParser) -> None:
    """Add the options that select the account."""
    parser.add_argument("--conn", metavar="ID", help="Airflow connection to the Batch account")


def add_verb(
    verbs: Any,
    name: str,
    run: Callable[[Namespace], int],
    about: str,
    *options: Callable[[ArgumentParser], None],
    **texts: str,
) -> ArgumentParser:
    """
    Add a command that uses the account, and return its parser.

    :param verbs: the subparsers to add it to.
    :param about: what it does, as a line of the help.
    :param options: each adds an option that several commands have.
    :param texts: more arguments of the parser.
    """
    texts.setdefault("description", f"{about[0].upper()}{about[1:]}.")
    parser: ArgumentParser = verbs.add_parser(name, help=about, **texts)
    for add in (*options, add_account_options):
        add(parser)
    parser.set_defaults(command=run)
    return parser


def hook_and_settings(options: Namespace) -> tuple[BatchLinuxHook, AccountSettings]:
    """
    Return a hook, and the account to use with it.

    :raises ValueError: if the connection or the environment is invalid; all problems.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook

    if options.conn == "":
        # The variable of a script that is not set must not select another account.
        msg = "--conn is empty."
        raise ValueError(msg)
    conn_id = options.conn or os.environ.get(CONN_VARIABLE) or None
    hook = BatchLinuxHook(conn_id or DEFAULT_CONN_ID)
    # Who sets the variable of the connection after `. ./batch.env` means that account, in Airflow and here.
    is_connection = conn_id or os.environ.get(f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}")
    if not is_connection and os.environ.get("AZURE_BATCH_ENDPOINT"):
        settings = _settings_from(os.environ)
    else:
        name = hook.batch_linux_conn_id
        try:
            with airflow_hushed():
                settings = hook.settings(_connection(name))
        except AirflowNotFoundException:
            msg = (
                f"Connection {name!r} is not defined here. Set AIRFLOW_CONN_{name.upper()}, add it to this "
                "machine's Airflow by `airflow connections add`, or configure the secrets backend; name "
                f"another one with --conn or {CONN_VARIABLE}; or name the account with AZURE_BATCH_ENDPOINT."
            )
            raise ValueError(msg) from None
    return hook, replace(settings, retry_budget=min(settings.retry_budget, _PATIENCE))


@contextmanager
def airflow_hushed() -> Iterator[None]:
    """
    Keep the log lines of Airflow 3.1 out of standard output; after an error, write them to standard error.

    Standard output is that of the whole process: nothing may be awaited in here.
    """
    logged = io.StringIO()
    try:
        with redirect_stdout(logged):
            yield
    except Exception:
        if text := logged.getvalue().strip():
            say(text)
        raise


def storage_of_connections() -> StorageAccess:
    """Return the storage accounts that the connections of Airflow lead to."""
    from airflow_provider_batchlinux.client.storage.access import StorageAccess
    from airflow_provider_batchlinux.hooks._storage_connection import storage_settings

    async def read(conn_id: str) -> Connection:
        with airflow_hushed():
            return _connection(conn_id)

    return StorageAccess(lambda conn_id: storage_settings(conn_id, read))


def _connection(conn_id: str) -> Connection:
    """
    Return a connection, also from Airflow's database, which Airflow asks only in its own processes.

    :raises AirflowNotFoundException: it is not defined. A line says why if the database cannot be read.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
    from airflow.secrets.metastore import MetastoreBackend

    from airflow_provider_batchlinux.hooks._storage_connection import told_if_undefined

    try:
        with told_if_undefined():
            return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        try:
            found: Any = MetastoreBackend().get_connection(conn_id)
        except Exception as error:  # whatever the reason, the connection is not found
            reason = str(error).partition("\n")[0]
            say(f"Airflow's database cannot be read: {type(error).__name__}: {reason}")
            raise AirflowNotFoundException(conn_id) from None
        if found is None:
            raise
        return found  # type: ignore[no-any-return]


def on_account(options: Namespace, work: Callable[[BatchLinuxClient], Awaitable[T]]) -> T:
    """
    Run a coroutine function with a client of the account.

    :raises ValueError: if the connection or the environment is invalid; all problems.
    """
    hook, settings = hook_and_settings(options)
    return hook.run(work, settings=settings)


def person() -> str:
    """Return the name of the user at the terminal. In a container, a user may have no name, only a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _settings_from(environment: Mapping[str, str]) -> AccountSettings:
    from airflow_provider_batchlinux.hooks._account_connection import settings_of

    endpoint = environment["AZURE_BATCH_ENDPOINT"]
    return settings_of(
        login=environment.get("AZURE_BATCH_ACCOUNT"),
        password=environment.get("AZURE_BATCH_ACCESS_KEY"),
        host=endpoint if "://" in endpoint else f"https://{endpoint}",
        extra={},
    )
