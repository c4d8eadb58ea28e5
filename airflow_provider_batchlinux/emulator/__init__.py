"""
An embedded Azure Batch service for laptops, tests and continuous integration.

It speaks the data-plane REST API of Azure Batch on loopback: over plain HTTP with shared-key
authentication, or over HTTPS also with the tokens of an Entra tenant of its own. Start tasks and tasks are real processes of this machine, nodes are directories and
SSH servers on 127.0.0.1. It stands alone: it imports nothing of the provider.
"""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.control_client import EmulatorControl
from airflow_provider_batchlinux.emulator.identity.server import IdentityFacts
from airflow_provider_batchlinux.emulator.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.server import RunningEmulator, run_emulator

__all__ = ["EmulatorControl", "EmulatorOptions", "IdentityFacts", "RunningEmulator", "run_emulator"]
