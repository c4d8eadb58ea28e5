"""The command ``batchlinux-emulator``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.extra import needs_extra
from airflow_provider_batchlinux.emulator.first_steps import (
    KEY_VARIABLE,
    environment_of,
    greeting,
    kept_settings,
    write_environment,
)
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FaultRates
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions

REQUEST_LOG = logging.getLogger("airflow_provider_batchlinux.emulator.requests")

_DESCRIPTION = (
    "An embedded Azure Batch service on loopback. When it is ready it prints what its clients need, "
    "if it runs in a terminal, and one line for programs: "
    "ready {endpoint, account, key, control_token, seed, storage}, over TLS also {ca, identity, management}."
)
_KEY_HELP = (
    f"file with the account key; or set {KEY_VARIABLE}; default: the key that --state keeps, or a random one"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the embedded Batch service until SIGTERM or SIGINT.

    :param arguments: command line; ``None`` uses that of the process.
    :return: 0 after SIGTERM or SIGINT.
    """
    parser = argparse.ArgumentParser(
        prog="batchlinux-emulator", description=_DESCRIPTION, argument_default=argparse.SUPPRESS
    )
    for name, details in _OPTIONS.items():
        parser.add_argument(name, **details)
    try:
        given = vars(parser.parse_args(arguments))
        is_logged, write_env = given.pop("log", False), given.pop("write_env", None)
        given["key"] = _read_key(given.pop("key_file", None), given.get("key"))
        if write_env is not None:
            given = {
                **kept_settings(write_env),
                **{name: value for name, value in given.items() if value is not None},
            }
        named = {name: dict(given.get(name, ())) for name in ("fault_rates", "mounts")}
        options = EmulatorOptions(**{**given, **named})
    except (OSError, ValueError) as error:
        parser.error(str(error))
    _allow_many_sockets()
    # A full collection looks at every record: with 50,000 tasks that holds up all answers for a third of a
    # second. The younger generations find nearly all garbage.
    gc.set_threshold(2_000, 10, 1_000)
    if is_logged:
        _log_requests()
    try:
        asyncio.run(_serve(options, write_env))
    except (ImportError, OSError) as error:
        parser.exit(1, f"batchlinux-emulator cannot serve: {error}\n")
    return 0


def _allow_many_sockets() -> None:
    """Raise the limit of open files: every node with SSH has a socket, and the usual limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_requests() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
    REQUEST_LOG.addHandler(handler)
    REQUEST_LOG.setLevel(logging.INFO)


def _fault_rate(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    try:
        return name, float(rate)
    except ValueError:
        msg = f"{text!r} is not NAME=RATE, such as throttled=0.1"
        raise argparse.ArgumentTypeError(msg) from None


def _mount(text: str) -> tuple[str, Path]:
    # A source may have an equals sign, as file shares with a query have.
    source, _, directory = text.rpartition("=")
    if not source:
        msg = f"{text!r} is not SOURCE=DIRECTORY, such as 10.0.0.4:/data=/srv/data"
        raise argparse.ArgumentTypeError(msg)
    return source, Path(directory)


_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--port": {"type": int, "help": "TCP port on loopback; 0, the default, uses a free one"},
    "--blob-port": {"type": int, "help": "TCP port of the blob store; 0, the default, uses a free one"},
    "--account": {"help": "account name; default: batchlinux"},
    "--key": {"help": "account key in base64; other users of the machine can see it here"},
    "--key-file": {"type": Path, "metavar": "FILE", "help": _KEY_HELP},
    "--state": {"type": Path, "metavar": "FILE", "help": "keeps the account over restarts, in this file"},
    "--profile": {
        "choices": ("instant", "realistic", "faulty"),
        "help": "delays and faults; default: instant",
    },
    "--seed": {"type": int, "help": "seed of faults and delays, to repeat a run; default: random"},
    "--jitter": {"type": float, "help": "variation of delays, from 0 to 1 (as recorded, the default)"},
    "--fault-rate": {
        "dest": "fault_rates",
        "type": _fault_rate,
        "action": "append",
        "metavar": "NAME=RATE",
        "help": "probability of a fault, from 0 to 1; may be repeated; NAME is one of "
        + ", ".join(asdict(FaultRates())),
    },
    "--speed": {"type": float, "help": "factor by which all delays are divided; default: 1"},
    "--root": {"type": Path, "metavar": "DIRECTORY", "help": "where the temporary files of nodes are made"},
    "--tls": {
        "type": Path,
        "metavar": "DIRECTORY",
        "help": "serves HTTPS, a local Entra tenant and the management plane; the directory gets ca.pem",
    },
    "--no-shared-key": {
        "dest": "shared_key",
        "action": "store_false",
        "help": "accept only Entra tokens; needs --tls",
    },
    "--legacy-ssh": {"action": "store_true", "help": "open pools for SSH as before December 2025"},
    "--containers": {
        "choices": ("docker", "podman"),
        "help": "engine for the containers of tasks; default: their commands run as plain processes",
    },
    "--log": {"action": "store_true", "help": "prints each request with its status and duration"},
    "--write-env": {
        "type": Path,
        "metavar": "FILE",
        "help": "writes environment variables for clients; an existing file gives the ports and the key",
    },
    "--mount": {
        "dest": "mounts",
        "type": _mount,
        "action": "append",
        "metavar": "SOURCE=DIRECTORY",
        "help": "directory that stands in for what pools mount from a source; may be repeated",
    },
}
"""What is not given has the default of :class:`EmulatorOptions`."""


def _read_key(path: Path | None, key: str | None) -> str | None:
    """
    Return the account key that the owner gives; ``None`` if there is none.

    :raises ValueError: it is given twice.
    """
    if path is not None and key is not None:
        msg = "key and key_file are both given: one is enough."
        raise ValueError(msg)
    if path is not None:
        return path.read_text(encoding="utf-8").strip()
    return key or os.environ.get(KEY_VARIABLE)


async def _serve(options: EmulatorOptions, write_env: Path | None) -> None:
    with needs_extra():
        from airflow_provider_batchlinux.emulator.server import serving
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(options) as emulator:
        facts: dict[str, Any] = {
            "endpoint": emulator.endpoint,
            "account": emulator.account,
            "key": emulator.key,
            "control_token": emulator.control_token,
            "seed": options.seed,
            "storage": asdict(emulator.storage),
        }
        if emulator.ca is not None and emulator.identity is not None:
            facts |= {"ca": str(emulator.ca), "identity": asdict(emulator.identity)}
        if emulator.management is not None:
            facts["management"] = asdict(emulator.management)
        if write_env is not None:
            write_environment(write_env, environment_of(emulator))
        if sys.stdout.isatty():
            print(greeting(emulator))
        print(f"ready {json.dumps(facts)}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    raise SystemExit(main())
