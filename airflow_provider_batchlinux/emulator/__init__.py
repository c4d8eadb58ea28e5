"""
An embedded Azure Batch service for laptops, tests and continuous integration.

It speaks the data-plane REST API of Azure Batch (2025-06-01, and older versions) on loopback: over plain
HTTP with shared-key authentication, or over HTTPS also with the tokens of an Entra tenant of its own.
Start tasks and tasks are real processes of this machine, nodes are directories, and each node of a pool
with a NAT pool for port 22 has an SSH server that admits its users. It stands alone: it imports nothing
of the provider.

How it differs from the service:

- Programs run as the user who runs the emulator, without containers and without root; an
  administrator of a node has no sudo.
- SSH ports are free ports of 127.0.0.1, not those of the NAT pool's range, and users expire at the
  second, where the service counts by the day.
- Not there yet, and answered with 501: multi-instance and container tasks, deallocation,
  node logs.

What no document or recording tells, and is assumed here, is marked as such where it is done; most of
all the status 403 of ``AuthenticationFailed``, the codes for a node in the wrong state, and the
answer to remote login without SSH.

What stands here is imported when it is first asked for: the service costs a second and its extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.emulator.extra import needs_extra

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator.connection import airflow_connection
    from airflow_provider_batchlinux.emulator.control_client import EmulatorControl
    from airflow_provider_batchlinux.emulator.identity.server import IdentityFacts
    from airflow_provider_batchlinux.emulator.management.resources import ManagementFacts
    from airflow_provider_batchlinux.emulator.server import RunningEmulator, run_emulator
    from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions

__all__ = [
    "EmulatorControl",
    "EmulatorOptions",
    "IdentityFacts",
    "ManagementFacts",
    "RunningEmulator",
    "airflow_connection",
    "run_emulator",
]

_HOMES = {
    "EmulatorControl": "control_client",
    "EmulatorOptions": "simulation.options",
    "IdentityFacts": "identity.server",
    "ManagementFacts": "management.resources",
    "RunningEmulator": "server",
    "airflow_connection": "connection",
    "run_emulator": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    with needs_extra():
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
