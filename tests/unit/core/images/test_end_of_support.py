"""How long the images of pools are supported, and what is said of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.end_of_support import (
    ImageInUse,
    describe_support,
    end_warning,
    images_in_use,
)
from airflow_provider_batchlinux.core.images.resolve import ResolvedImage

NOW = datetime(2027, 5, 31, tzinfo=timezone.utc)
SPAN = timedelta(weeks=8)
JAMMY = "canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2"
NOBLE = "canonical:ubuntu-24_04-lts:server"


def listed(name: str, agent: str, *, ends: str | None = None, verified: bool = True) -> SupportedImage:
    publisher, offer, sku = name.split(":")
    return SupportedImage.from_rest(
        {
            "nodeAgentSKUId": agent,
            "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
            "osType": "linux",
            "verificationType": "verified" if verified else "unverified",
            "capabilities": ["Generation2VMImage"],
            "batchSupportEndOfLife": ends,
        }
    )


IMAGES = [
    listed(JAMMY, "batch.node.ubuntu 22.04", ends="2027-06-30"),
    listed(NOBLE, "batch.node.ubuntu 24.04"),
    listed("xilinx:alveo:old", "batch.node.ubuntu 24.04", ends="2027-06-30", verified=False),
]


def pool(name: str, agent: str) -> dict[str, Any]:
    publisher, offer, sku = name.split(":")
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}
    return {
        "id": "etl",
        "virtualMachineConfiguration": {"imageReference": reference, "nodeAgentSKUId": agent},
    }


def in_use(body: dict[str, Any]) -> ImageInUse:
    (found,) = images_in_use([body], IMAGES, NOW)
    return found


def test_an_image_whose_support_ends_soon_is_told_with_its_successor() -> None:
    found = in_use(pool(JAMMY, "batch.node.ubuntu 22.04"))

    assert found.ends_within(SPAN, NOW)
    assert describe_support(found, NOW) == (
        f"Pool 'etl' uses {JAMMY} (batch.node.ubuntu 22.04), whose support ends on 2027-06-30, in 30 days."
        f" A new pool of this kind would use {NOBLE}."
    )


def test_an_image_without_a_date_is_fine() -> None:
    found = in_use(pool(NOBLE, "batch.node.ubuntu 24.04"))

    assert not found.ends_within(SPAN, NOW)
    assert "no end of support is announced" in describe_support(found, NOW)
    assert found.to_dict(NOW)["days_left"] is None


def test_an_image_that_ends_later_than_the_span_is_fine() -> None:
    found = in_use(pool(JAMMY, "batch.node.ubuntu 22.04"))

    assert not found.ends_within(timedelta(days=29), NOW)


def test_an_image_that_has_ended_is_told_in_the_past() -> None:
    found = in_use(pool(JAMMY, "batch.node.ubuntu 22.04"))

    assert "support ended on 2027-06-30, 2 days ago" in describe_support(
        found, datetime(2027, 7, 2, tzinfo=timezone.utc)
    )


def test_letter_case_does_not_hide_an_image() -> None:
    assert in_use(pool(JAMMY.title(), "Batch.Node.Ubuntu 22.04")).is_listed


def test_an_image_that_was_taken_off_the_list_counts_as_ended() -> None:
    found = in_use(pool("canonical:ubuntuserver:18.04-lts", "batch.node.ubuntu 18.04"))

    assert found.ends_within(SPAN, NOW)
    assert "no longer lists" in describe_support(found, NOW)


def test_an_own_image_is_its_owners_business() -> None:
    machine = {
        "imageReference": {"virtualMachineImageId": "/subscriptions/s/galleries/g/images/i"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    }
    found = in_use({"id": "etl", "virtualMachineConfiguration": machine})

    assert not found.ends_within(SPAN, NOW)
    assert found.image.startswith("/subscriptions/")


def test_an_image_of_no_known_distribution_has_no_successor() -> None:
    found = in_use(pool("xilinx:alveo:old", "batch.node.ubuntu 24.04"))

    assert found.ends_within(SPAN, NOW)
    assert found.successor is None


def test_a_pool_without_virtual_machines_is_left_out() -> None:
    assert images_in_use([{"id": "etl"}], IMAGES, NOW) == []


@pytest.mark.parametrize(("end", "is_told"), [(NOW + SPAN, True), (NOW + 2 * SPAN, False), (None, False)])
def test_a_new_pool_on_an_image_that_ends_soon_is_worth_a_warning(
    end: datetime | None, is_told: bool
) -> None:
    chosen = ResolvedImage({"publisher": "p", "offer": "o", "sku": "s"}, "agent", end, True, ())

    assert (end_warning(chosen, NOW, SPAN) is not None) is is_told
