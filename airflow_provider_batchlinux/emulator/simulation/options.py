"""The options of the embedded Batch service."""

from __future__ import annotations

import base64
import binascii
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from airflow_provider_batchlinux.emulator.simulation.fault_rates import fault_rate_problems
from airflow_provider_batchlinux.emulator.simulation.seeded_random import make_seed

ProfileName = Literal["instant", "realistic", "faulty"]
ClockName = Literal["system", "manual"]
EngineName = Literal["docker", "podman"]


def make_account_key() -> str:
    """Return a new account key: 64 random bytes in base64, like those of the service."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


@dataclass(frozen=True)
class EmulatorOptions:
    """
    Options of an embedded Batch service.

    :param profile:

        - ``instant``: pools and nodes change their states without delay.
        - ``realistic``: delays as recorded from the real service.
        - ``faulty``: no delays, and random faults.
    :param seed: seed of all random decisions. The same seed and the same requests give the same faults, nodes
        and delays. By default it is random.
    :param jitter: variation of delays: 0 always uses the typical delay, 1 the whole range, which for
        ``realistic`` was recorded. ``None`` is 1, or 0 with a manual clock.
    :param fault_rates: probability of each fault, from 0 to 1, where it differs from the profile.
    :param speed: factor by which the delays of the profile are divided.
    :param clock: with ``manual``, time passes only when a test advances it.
    :param account: name of the Batch account.
    :param key: account key in base64; ``None`` uses the key in ``state``, or a random one.
    :param state: file in which the account survives restarts. Only its owner can read it, since it contains
        keys and passwords. The files of nodes are next to it, in a directory with the suffix ``.files``.
    :param root: directory in which the temporary directory with the files of nodes is created; ``None`` uses
        the system's default. The temporary directory is removed at the end.
    :param port: TCP port on loopback; 0 uses a free one.
    :param blob_port: TCP port of the blob store on loopback; 0 uses a free one.
    :param tls: directory for the certificate ``ca.pem``. With it the service uses HTTPS, and accepts Entra
        tokens from a local tenant; ``None`` serves plain HTTP and accepts only the account key.
    :param shared_key: whether the account key is accepted; ``False`` accepts only tokens, and needs ``tls``.
    :param legacy_ssh: whether new pools open SSH with a rule ``SSHRule`` unless they have an
        ``endpointConfiguration``, like pools created before 30 November 2025.
    :param containers: the container engine of this machine that runs the containers of tasks, ``docker`` or
        ``podman``; ``None`` runs their commands as plain processes.
    :param mounts: directories of this machine that stand in for what pools mount, by its name: an NFS or CIFS
        source, the URL of a file share, or ``account/container``. Nodes with other mounts are ``unusable``.
    :raises ValueError: with all problems in one message.
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
    legacy_ssh: bool = False
    containers: EngineName | None = None
    mounts: Mapping[str, Path] = field(default_factory=dict)

    @property
    def engine(self) -> str | None:
        """The path of the container engine's command; ``None`` without an engine."""
        return None if self.containers is None else shutil.which(self.containers)

    @property
    def spread(self) -> float:
        """The jitter, or its default."""
        if self.jitter is not None:
            return self.jitter
        return 0.0 if self.clock == "manual" else 1.0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> list[str]:
        checks = {
            f"profile must be 'instant', 'realistic' or 'faulty', not {self.profile!r}.": (
                self.profile in ("instant", "realistic", "faulty")
            ),
            f"jitter must be a number from 0 to 1, not {self.jitter!r}.": 0 <= self.spread <= 1,
            f"speed must be greater than 0, not {self.speed!r}.": self.speed > 0,
            f"clock must be 'system' or 'manual', not {self.clock!r}.": (self.clock in ("system", "manual")),
            "account must not be empty.": bool(self.account),
            "key must be base64.": (self.key is None or _is_base64(self.key)),
            f"state is {str(self.state)!r}, but its directory does not exist.": (
                self.state is None or self.state.absolute().parent.is_dir()
            ),
            "root and state are both set. With state, the files of nodes are next to the state file.": (
                self.root is None or self.state is None
            ),
            f"root is {str(self.root)!r}, but this directory does not exist.": (
                self.root is None or self.root.is_dir()
            ),
            f"port must be a number from 0 to 65535, not {self.port!r}.": 0 <= self.port <= 65535,
            f"blob_port must be a number from 0 to 65535, not {self.blob_port!r}.": 0
            <= self.blob_port
            <= 65535,
            f"containers must be 'docker' or 'podman', not {self.containers!r}.": (
                self.containers in (None, "docker", "podman")
            ),
            f"containers is {self.containers!r}, but this machine has no such command.": (
                self.containers not in ("docker", "podman") or self.engine is not None
            ),
            "shared_key is off without tls, so no request could be authenticated.": (
                self.shared_key or self.tls is not None
            ),
        }
        return [
            *(problem for problem, holds in checks.items() if not holds),
            *(
                f"mounts has {str(path)!r} for {source!r}, but this directory does not exist."
                for source, path in self.mounts.items()
                if not path.is_dir()
            ),
            *fault_rate_problems(self.fault_rates),
        ]


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
