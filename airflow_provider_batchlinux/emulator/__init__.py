"""
An embedded Azure Batch service for laptops, tests and continuous integration.

It implements the data-plane REST API of Azure Batch (2025-06-01 and older versions) on loopback: over plain
HTTP with the account key, or over HTTPS also with tokens from a local Entra tenant. Start tasks and tasks
run as processes of this machine, nodes are directories, and each node of a pool with a NAT pool for port 22
has an SSH server for its users. It does not depend on the rest of the provider.

Differences from Azure Batch:

- Programs run as the user who runs the emulator, not as root. Without a container engine, a container task
  runs its command as a plain process. An administrator of a node has no sudo.
- SSH ports are free ports of 127.0.0.1, not ports of the NAT pool's range.
- Users expire at the second. In Azure Batch they expire by the day.
- Nothing is mounted, no VM extension is installed, and networks and images are only declared.

Where neither documentation nor recordings tell what Azure Batch does, the code says "assumed". The most
important assumptions are the codes for a node in the wrong state, and the answer to a request for the remote
login settings of a node without SSH.

The names of this package are imported when they are first used: the service needs the extra ``emulator``, and
about a second to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.emulator.extra import needs_extra

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator.connection import airflow_connection
    from airflow_provider_batchlinux.emulator.control_client import EmulatorControl
    from airflow_provider_batchlinux.emulator.identity.server import IdentityFacts
    from airflow_provider_batchlinux.emulator.management.arm import ManagementFacts
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

_MODULES = {
    "EmulatorControl": "control_client",
    "EmulatorOptions": "simulation.options",
    "IdentityFacts": "identity.server",
    "ManagementFacts": "management.arm",
    "RunningEmulator": "server",
    "airflow_connection": "connection",
    "run_emulator": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    with needs_extra():
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
