"""The account that a command uses."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook


def add_account_options(parser: ArgumentParser) -> None:
    """Add the options that select the account."""
    parser.add_argument("--conn-id", help="Airflow connection to the Batch account")


def hook_and_settings(options: Namespace) -> tuple[BatchLinuxHook, AccountSettings]:
    """
    Return a hook, and the account to use with it.

    :raises ValueError: if the connection or the environment is invalid; all problems.
    """
    from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook

    hook = BatchLinuxHook(options.conn_id or DEFAULT_CONN_ID)
    if options.conn_id is None and os.environ.get("AZURE_BATCH_ENDPOINT"):
        return hook, _settings_from(os.environ)
    # Airflow 3.1 logs to standard output when it reads a connection; that is for the output of the command.
    with redirect_stdout(sys.stderr):
        return hook, hook.settings()


def _settings_from(environment: Mapping[str, str]) -> AccountSettings:
    from airflow_provider_batchlinux.hooks.connection import settings_of

    endpoint = environment["AZURE_BATCH_ENDPOINT"]
    return settings_of(
        login=environment.get("AZURE_BATCH_ACCOUNT"),
        password=environment.get("AZURE_BATCH_ACCESS_KEY"),
        host=endpoint if "://" in endpoint else f"https://{endpoint}",
        extra={},
    )
