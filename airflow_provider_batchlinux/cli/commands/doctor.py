"""``batchlinux doctor``: check a connection step by step, and say what to do."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import (
    add_verb,
    hook_and_settings,
    storage_of_connections,
)
from airflow_provider_batchlinux.cli.terminal.output import add_json, print_json, print_line
from airflow_provider_batchlinux.core.diagnosis.check import Check

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

_DESCRIPTION = """\
Check whether a connection works from this machine: its endpoint, clock, login, rights, images, quotas,
storage, and SSH of a node. Nothing is changed. Each line says what was found, and what to do. The exit status
is 1 if a check has failed."""
PATIENCE = 5.0
"""Seconds over which a request is retried."""

_SHOWN: Mapping[str, str] = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "skipped"}


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_verb(
        commands, "doctor", _run, "check a connection, and say what to do", add_json, description=_DESCRIPTION
    )
    parser.add_argument("connection", metavar="CONN", nargs="?", help="the Airflow connection; as --conn")
    parser.add_argument(
        "--storage-conn", metavar="ID", default="wasb_default",
        help="the connection to Azure Storage to check (default: wasb_default)",
    )  # fmt: skip


def _run(options: Namespace) -> int:
    if options.connection and options.conn not in (None, options.connection):
        msg = f"Name one connection: {options.connection} or --conn {options.conn}."
        raise ValueError(msg)
    options.conn = options.connection or options.conn
    found: list[Check] = []

    def report(check: Check) -> None:
        found.append(check)
        if not options.json:
            print_line(f"{_SHOWN[check.outcome]:<7}  {check.name:<10}  {check.text}")

    try:
        _, settings = hook_and_settings(options)
        asyncio.run(_diagnose(options, settings, report))
    except ValueError as error:
        report(Check("connection", "failed", " ".join(str(error).split())))
    if options.json:
        print_json([check.to_dict() for check in found])
    return 1 if any(check.outcome == "failed" for check in found) else 0


async def _diagnose(options: Namespace, settings: AccountSettings, report: Callable[[Check], None]) -> None:
    from airflow_provider_batchlinux.client.diagnosis.checks import diagnose

    storage = replace(storage_of_connections(), retries=0)
    settings = replace(settings, retry_budget=PATIENCE)
    # Closed here, also if the reader of the output has gone: asyncio would report what it closes itself.
    async with aclosing(diagnose(settings, storage, options.storage_conn)) as checks:
        async for check in checks:
            report(check)
