"""What the names of images tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.names import (
    find_version,
    is_long_term,
    read_version,
    version_text,
    words_of,
)


@pytest.mark.parametrize(
    ("sku", "offer", "version"),
    [
        pytest.param("22_04-lts-gen2", "0001-com-ubuntu-server-jammy", (22, 4), id="in-the-sku"),
        pytest.param("server-gen1", "ubuntu-24_04-lts", (24, 4), id="in-the-offer"),
        pytest.param("server", "0001-com-ubuntu-server-focal", (20, 4), id="as-a-codename"),
        pytest.param("2204", "ubuntu-hpc", (22, 4), id="without-a-dot"),
        pytest.param("20-04-lts", "ubuntu-server-container", (20, 4), id="with-a-hyphen"),
        pytest.param("8-hpc-gen2", "almalinux-hpc", (8,), id="major-alone"),
        pytest.param("8_5-gen2", "almalinux", (8, 5), id="with-a-minor"),
        pytest.param("9-gen2", "almalinux-x86_64", (9,), id="beside-an-architecture"),
        pytest.param("81", "oracle-linux", (8, 1), id="oracle-two-digits"),
        pytest.param("ol810-lvm-gen2", "oracle-linux", (8, 10), id="oracle-three-digits"),
        pytest.param("ol9-lvm", "oracle-linux", (9,), id="after-letters"),
        pytest.param("cbl-mariner-2-gen2", "cbl-mariner", (2,), id="last-word"),
        pytest.param("azure-linux-3-arm64", "azure-linux-3", (3,), id="before-an-architecture"),
        pytest.param("12-gen2", "debian-12", (12,), id="debian"),
        pytest.param("alveo_u250_ubuntu_2004_062421", "x", (20, 4), id="among-other-numbers"),
        pytest.param("server", "plain", (), id="nowhere"),
    ],
)
def test_the_version_is_read_as_numbers(sku: str, offer: str, version: tuple[int, ...]) -> None:
    assert find_version(sku, offer) == version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("24.04", (24, 4), id="dot"),
        pytest.param("24_04", (24, 4), id="underscore"),
        pytest.param("2404", (24, 4), id="compact"),
        pytest.param("Noble", (24, 4), id="codename"),
        pytest.param("bookworm", (12,), id="debian-codename"),
        pytest.param("8.10", (8, 10), id="two-digit-minor"),
        pytest.param("3.0", (3,), id="minor-zero-is-the-major"),
        pytest.param("24.04.1", None, id="point-release"),
        pytest.param("new", None, id="word"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_users_version_is_read_whole_or_not_at_all(text: str, version: tuple[int, ...] | None) -> None:
    assert read_version(text) == version


@given(st.integers(10, 59), st.sampled_from((4, 10)), st.sampled_from((".", "_", "-", "")))
def test_an_ubuntu_version_reads_back_however_it_is_written(year: int, month: int, between: str) -> None:
    version = (year, month)

    assert find_version(f"server-{year}{between}{month:02d}-lts-gen2") == version
    assert read_version(version_text(version)) == version


@pytest.mark.parametrize(
    ("version", "text"),
    [
        pytest.param((24, 4), "24.04", id="ubuntu"),
        pytest.param((8, 5), "8.5", id="minor"),
        pytest.param((12,), "12", id="major"),
        pytest.param((), "unknown", id="none"),
    ],
)
def test_a_version_is_written_as_its_distribution_does(version: tuple[int, ...], text: str) -> None:
    assert version_text(version) == text


def test_long_term_releases_are_those_of_april_in_even_years() -> None:
    releases = [(22, 4), (22, 10), (23, 4), (24, 4), (24,), ()]

    assert [release for release in releases if is_long_term(release)] == [(22, 4), (24, 4)]


def test_words_are_split_at_whatever_is_no_letter_or_digit() -> None:
    assert words_of("Ubuntu-24_04", "server") == {"ubuntu", "24", "04", "server"}
