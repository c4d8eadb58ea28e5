"""The meaning of the names of Linux images."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, ...]
"""A distribution's version as numbers, ``(24, 4)``; a major version alone means its newest minor version."""


@dataclass(frozen=True)
class Distro:
    """
    A Linux distribution as users name it and as marketplace offers show it.

    :param name: the name in messages.
    :param aliases: the names that users write, in lower case, with spaces instead of hyphens.
    :param offers: shell patterns of the marketplace offers, of any publisher.
    :param long_term_only: whether a request without a version means only long-term support releases.
    """

    name: str
    aliases: tuple[str, ...]
    offers: tuple[str, ...]
    long_term_only: bool = False


DISTROS = (
    Distro("ubuntu", ("ubuntu",), ("*ubuntu*",), long_term_only=True),
    Distro("almalinux", ("almalinux", "alma linux", "alma"), ("*almalinux*",)),
    Distro("azurelinux", ("azurelinux", "azure linux"), ("azurelinux*", "azure-linux*")),
    Distro("mariner", ("mariner", "cbl mariner"), ("cbl-mariner*",)),
    Distro("debian", ("debian",), ("debian*",)),
    Distro("oracle-linux", ("oracle linux", "oraclelinux", "oracle"), ("oracle-linux*",)),
    Distro("centos", ("centos",), ("*centos*",)),
)

FEATURES = {
    "hpc": "hpc",
    "rdma": "rdma",
    "container": "container",
    "docker": "container",
    "gpu": "gpu",
    "nvidia": "gpu",
    "cvm": "cvm",
    "confidential": "cvm",
    "fpga": "fpga",
    "alveo": "fpga",
    "xilinx": "fpga",
    "fips": "fips",
    "minimal": "minimal",
    "pro": "pro",
    "daily": "daily",
    "backports": "backports",
    "rendering": "rendering",
}
"""Words for special images, in the names of images and in requests."""

WORKLOAD_FEATURES = frozenset({"hpc", "rdma", "container", "gpu"})
"""Images combine several of these: a request for one of them also allows the others."""

ARCHITECTURES = {
    "arm64": "arm64",
    "aarch64": "arm64",
    "arm": "arm64",
    "x64": "x64",
    "x86_64": "x64",
    "amd64": "x64",
}
GENERATIONS = {"gen1": 1, "g1": 1, "gen2": 2, "g2": 2, "gensecond": 2}

_CODENAMES = {
    "bionic": "18.04",
    "focal": "20.04",
    "jammy": "22.04",
    "noble": "24.04",
    "resolute": "26.04",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
}
_CODENAME = re.compile("|".join(_CODENAMES))
_NOT_A_VERSION = re.compile(r"x86[_-]64|a(?:rm|md)64|gen[12]|(?<![a-z])g[12](?!\d)")
# 2204 is 22.04, as only Ubuntu writes it; 81 and 810 are 8.1 and 8.10, because no distribution has reached
# release 60.
_VERSION = re.compile(r"(?<!\d)(?:(\d\d)(04|10)|([6-9])(\d{1,2})|(\d{1,2})(?:[._-](\d{1,2}))?)(?!\d)")


def words_of(*names: str) -> frozenset[str]:
    """Return the words of names, in lower case."""
    return frozenset(re.findall(r"[a-z0-9]+", " ".join(names).lower()))


def find_version(*names: str) -> Version:
    """
    Return the first version in the names as numbers; empty if none contains one.

    :param names: SKU, offer and node agent SKU, the most reliable first: the version is in the SKU
        (``22_04-lts``), in the offer (``ubuntu-24_04-lts``) or only a codename (``...-jammy``).
    """
    for name in names:
        plain = _NOT_A_VERSION.sub("", _spell_out(name))
        if match := _VERSION.search(plain):
            return _numbers(match)
    return ()


def read_version(text: str) -> Version | None:
    """Return a version that a user wrote, such as ``24.04``, ``2204``, ``9`` or ``jammy``, as numbers."""
    match = _VERSION.fullmatch(_spell_out(text))
    return _numbers(match) if match else None


def version_text(version: Version) -> str:
    """Return a version as its distribution writes it; only Ubuntu has minor versions after majors above 9."""
    if not version:
        return "unknown"
    major, *minors = version
    return ".".join([str(major), *(f"{minor:02d}" if major > 9 else str(minor) for minor in minors)])


def is_long_term(version: Version) -> bool:
    """Return whether an Ubuntu release has long-term support: those of April of an even year."""
    return len(version) == 2 and version[0] % 2 == 0 and version[1] == 4


def _spell_out(name: str) -> str:
    return _CODENAME.sub(lambda match: _CODENAMES[match.group()], name.lower())


def _numbers(match: re.Match[str]) -> Version:
    major, *minor = (int(group) for group in match.groups() if group)
    return (major, *filter(None, minor))
