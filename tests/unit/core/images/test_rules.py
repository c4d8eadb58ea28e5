"""Which of several fitting images is the better one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.images.resolve import ResolvedImage, resolve_image
from airflow_provider_batchlinux.core.instants import parse_instant

NOW = parse_instant("2026-03-01T00:00:00Z")


def image(name: str, *, verified: bool = True) -> SupportedImage:
    publisher, offer, sku = name.split(":")
    return SupportedImage(publisher, offer, sku, "latest", "batch.node", "linux", verified, frozenset(), None)


def resolve(asked: str, *images: SupportedImage) -> ResolvedImage:
    assert NOW is not None
    query = ImageQuery.parse(asked)
    return resolve_image(query, images, needed_until=NOW, include_unverified=True)


@pytest.mark.parametrize(
    ("asked", "best", "other"),
    [
        pytest.param("*:*:*", "b:ubuntu-24_04:server", "a:ubuntu-daily:2604", id="ordinary"),
        pytest.param("debian", "b:debian-12:x", "a:debian-9:x", id="newest-as-numbers"),
        pytest.param("*:*:*", "b:ubuntu-24_04:server", "a:ubuntu:server", id="known-version"),
        pytest.param("almalinux 9", "b:almalinux:9", "a:almalinux:9_4", id="major-alone"),
        pytest.param("ubuntu", "b:ubuntu-24_04:x-gen2", "a:ubuntu-24_04:x", id="second-generation"),
        pytest.param(
            "ubuntu container", "b:ubuntu-container:2404", "a:ubuntu-hpc-container:2404", id="plain"
        ),
        pytest.param("ubuntu", "a:ubuntu-24_04:b", "a:ubuntu-24_04:c", id="by-name"),
        pytest.param("*:ubuntu*:c", "a:Ubuntu-24_04:C", "b:UBUNTU-24_04:C", id="case-aside"),
    ],
)
@given(data=st.data())
def test_of_two_fitting_images_one_goes_first(asked: str, best: str, other: str, data: st.DataObject) -> None:
    images = [image(name) for name in data.draw(st.permutations([best, other, best]))]

    resolved = resolve(asked, *images)

    assert ":".join(resolved.reference.values()) == f"{best}:latest"
    assert [row.name for row in resolved.runners_up] == [other]


def test_a_verified_image_goes_before_an_unverified_one_of_the_same_version() -> None:
    verified, unverified = image("b:almalinux:9"), image("a:almalinux:9-gen2", verified=False)

    assert resolve("almalinux", unverified, verified).runners_up == (unverified,)


def test_ties_are_settled_by_name() -> None:
    images = [image(f"p:ubuntu-24_04:{letter}") for letter in "abcdefgh"]

    assert resolve("ubuntu", *images).runners_up == tuple(images[1:])
