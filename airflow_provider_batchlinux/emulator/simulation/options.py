"""What an embedded Batch service is started with; imports nothing of the service but its chances."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from airflow_provider_batchlinux.emulator.simulation.fault_rates import fault_rate_problems
from airflow_provider_batchlinux.emulator.simulation.seeded_random import make_seed

__all__ = ["ClockName", "EmulatorOptions", "ProfileName", "make_account_key"]

ProfileName = Literal["instant", "realistic", "faulty"]
ClockName = Literal["system", "manual"]


def make_account_key() -> str:
    """Return a fresh account key: 64 random bytes in base64, as the service makes them."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


@dataclass(frozen=True)
class EmulatorOptions:
    """
    Say how an embedded Batch service behaves.

    :param profile: ``instant`` passes every state without delay, ``realistic`` takes the times
        recorded from the real service, ``faulty`` is like ``instant`` and lets things go wrong by chance.
    :param seed: what all chance follows from: with the same seed the same requests meet the same
        faults, nodes and delays; a random one is made when it is left out.
    :param jitter: how far delays stray: 0 always takes the typical ones, 1 the whole span, which for
        ``realistic`` was recorded; ``None`` is 1, but 0 where the clock is moved by hand.
    :param fault_rates: how likely each thing goes wrong, from 0 to 1, where it is not as in the profile.
    :param speed: factor by which a profile's delays are divided.
    :param clock: ``manual`` fires timers only when the control plane advances the time.
    :param account: name of the Batch account it serves.
    :param key: account key in base64; ``None`` takes the one that ``state`` keeps, or else a random one.
    :param state: file that keeps the account over restarts, for its owner only: it holds keys and passwords.
        The nodes' directories are then beside it, in one with ``.files`` added to its name.
    :param root: directory that holds the nodes' directories; ``None`` takes the system's
        directory for temporary files. A directory of its own is made in it and removed at the end.
    :param port: TCP port on loopback; 0 takes a free one.
    :param blob_port: TCP port of the blob store on loopback; 0 takes a free one.
    :param tls: directory that gets the certificate ``ca.pem``, for HTTPS and with it Entra tokens from a
        local tenant; ``None`` serves plain HTTP, to shared keys only.
    :param shared_key: whether the account takes its key; ``False`` leaves only tokens, and needs ``tls``.
    :raises ValueError: with all problems at once.
    """

    profile: ProfileName = "instant"
    seed: int = field(default_factory=make_seed)
    jitter: float | None = None
    fault_rates: Mapping[str, float] = field(default_factory=dict)
    speed: float = 1.0
    clock: ClockName = "system"
    account: str = "batchlinux"
    key: str | None = field(default=None, repr=False)
    state: Path | None = None
    root: Path | None = None
    port: int = 0
    blob_port: int = 0
    tls: Path | None = None
    shared_key: bool = True

    @property
    def spread(self) -> float:
        """How far delays stray, where nothing else was said."""
        if self.jitter is not None:
            return self.jitter
        return 0.0 if self.clock == "manual" else 1.0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> list[str]:
        checks = {
            f"profile is {self.profile!r}: it is 'instant', 'realistic' or 'faulty'.": (
                self.profile in ("instant", "realistic", "faulty")
            ),
            f"jitter is {self.jitter!r}: it is a number from 0 to 1.": 0 <= self.spread <= 1,
            f"speed is {self.speed!r}: it is a number greater than 0.": self.speed > 0,
            f"clock is {self.clock!r}: it is 'system' or 'manual'.": (self.clock in ("system", "manual")),
            "account is empty: it names the Batch account.": bool(self.account),
            "key is not base64, as an account key is.": (self.key is None or _is_base64(self.key)),
            f"state is {str(self.state)!r}: there is no directory for it.": (
                self.state is None or self.state.absolute().parent.is_dir()
            ),
            "root and state are both given: with state, the nodes' directories are beside the file.": (
                self.root is None or self.state is None
            ),
            f"root is {str(self.root)!r}: there is no such directory.": (
                self.root is None or self.root.is_dir()
            ),
            f"port is {self.port!r}: it is a number from 0 to 65535.": 0 <= self.port <= 65535,
            f"blob_port is {self.blob_port!r}: it is a number from 0 to 65535.": 0 <= self.blob_port <= 65535,
            "shared_key is off without tls: nobody could get in.": (self.shared_key or self.tls is not None),
        }
        return [
            *(problem for problem, holds in checks.items() if not holds),
            *fault_rate_problems(self.fault_rates),
        ]


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
