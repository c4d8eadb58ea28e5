"""What keeps a pool from getting its nodes, found before it is made."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.pools.preflight import (
    Findings,
    Limits,
    Region,
    Usage,
    find_faults,
    usage_of,
)
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
ALL = frozenset({1, 2})
D2 = VmSize("Standard_D2s_v5", "standardDSv5Family", 2, ALL, "x64", True, False, None, False)
OLD = VmSize("Standard_A2", "A", 2, frozenset({1}), "x64", False, None, end_of_life=NOW + timedelta(days=30))
GPU = VmSize("Standard_NC4as_T4_v3", "NC", 4, ALL, "x64", True, True, 1)
SIZES = [D2, OLD, GPU]
D2S, A2 = "vm_size='standard_d2s_v5'", "vm_size='standard_a2'"
MORE_QUOTA = "Request fewer nodes, wait until other pools are deleted, or request more quota in the portal."


def image(sku: str = "server", *capabilities: str) -> SupportedImage:
    names = frozenset(capabilities or {"Generation2VMImage"})
    return SupportedImage("canonical", "ubuntu", sku, "latest", "agent", "linux", True, names, None)


def look(
    *,
    limits: Limits | None = None,
    usage: Usage | None = None,
    of: SupportedImage | None = None,
    until: datetime = NOW,
    **options: Any,
) -> Findings:
    spec = PoolSpec(**{"pool_id": "etl", "image": "ubuntu", "vm_size": "standard_d2s_v5", **options})
    return find_faults(
        spec.to_rest(),
        Region("westeurope", limits or Limits(), SIZES),
        usage or Usage(),
        image=of,
        needed_until=until,
        now=NOW,
        name_of=lambda path: str(spec.name_of(path)),
    )


def test_a_pool_that_fits_has_no_faults() -> None:
    limits = Limits(4, 2, 2, {"standardDSv5Family": 4})

    assert look(limits=limits, of=image(), dedicated_nodes=2, spot_nodes=1) == Findings()


def test_a_size_that_is_not_there_is_told_with_the_nearest() -> None:
    found = look(vm_size="standard_d2s_v9")

    [problem] = found.problems
    assert problem.startswith("vm_size='standard_d2s_v9' is not a VM size that Batch offers in 'westeurope';")
    assert "the nearest are Standard_D2s_v5," in problem


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(
            {"vm_size": "standard_a2", "until": NOW + timedelta(days=31)},
            f"{A2} is retired by Batch on 2026-01-31, and the pool is wanted until 2026-02-01;"
            " choose a newer size.",
            id="a size that ends before the pool",
        ),
        pytest.param(
            {"vm_size": "standard_a2", "spot_nodes": 2},
            f"spot_nodes=2: {A2} is not available as Spot; use dedicated nodes.",
            id="no spot",
        ),
        pytest.param(
            {"storage": {"os_disk": {"ephemeral": True}}},
            f"storage.os_disk.ephemeral: {D2S} has no local disk for an operating system.",
            id="no local disk",
        ),
        pytest.param(
            {"vm_size": "standard_a2", "security": {"kind": "trustedLaunch"}},
            f"security.kind='trustedlaunch' needs generation 2, and {A2} runs only generation 1.",
            id="trusted launch on the first generation",
        ),
        pytest.param(
            {"vm_size": "standard_a2", "of": image()},
            f"Image 'canonical:ubuntu:server' is of generation 2; {A2} runs only 1.",
            id="an image of the other generation",
        ),
        pytest.param(
            {"of": image("server-arm64")},
            f"Image 'canonical:ubuntu:server-arm64' is for arm64, and {D2S} is x64.",
            id="an image of the other architecture",
        ),
    ],
)
def test_what_no_waiting_cures_is_a_problem(options: dict[str, Any], problem: str) -> None:
    assert look(**options) == Findings((problem,), (), look(**options).warnings)


@pytest.mark.parametrize(
    ("limits", "usage", "shortage"),
    [
        pytest.param(
            Limits(dedicated_cores=10),
            Usage(dedicated_cores=8),
            f"dedicated_nodes=2 on {D2S} wants 4 dedicated cores; the account has 2 of 10 left. {MORE_QUOTA}",
            id="dedicated cores",
        ),
        pytest.param(
            Limits(family_cores={"StandardDSv5Family": 0}),
            Usage(),
            f"dedicated_nodes=2 on {D2S} wants 4 dedicated cores of 'standardDSv5Family'; the"
            f" account has 0 of 0 left. {MORE_QUOTA}",
            id="dedicated cores of the family",
        ),
        pytest.param(
            Limits(spot_cores=2),
            Usage(spot_cores=4),
            f"spot_nodes=1 on {D2S} wants 2 Spot cores; the account has 0 of 2 left. {MORE_QUOTA}",
            id="spot cores, overdrawn",
        ),
        pytest.param(
            Limits(pools=1),
            Usage(frozenset({"other"})),
            "The account's quota of pools is used up: 1 of 1. Delete pools that are no longer used, or"
            " request more quota in the portal.",
            id="pools",
        ),
    ],
)
def test_a_quota_that_is_used_up_is_a_shortage(limits: Limits, usage: Usage, shortage: str) -> None:
    assert look(limits=limits, usage=usage, dedicated_nodes=2, spot_nodes=1) == Findings((), (shortage,))


def test_all_is_told_at_once() -> None:
    found = look(limits=Limits(0, 0, 0), vm_size="standard_a2", dedicated_nodes=1, spot_nodes=1, of=image())

    assert (len(found.problems), len(found.shortages)) == (2, 3)


def test_a_pool_with_autoscale_needs_no_cores_now() -> None:
    assert look(limits=Limits(0, 0), autoscale={"formula": "$TargetDedicatedNodes = 9;"}) == Findings()


def test_an_end_that_is_near_and_missing_drivers_are_only_warned_of() -> None:
    old, gpu = look(vm_size="standard_a2"), look(vm_size="standard_nc4as_t4_v3", of=image())

    assert old.warnings == (f"{A2} is retired by Batch on 2026-01-31; choose a newer size before.",)
    assert gpu.warnings == (
        "vm_size='standard_nc4as_t4_v3' has GPUs, and image 'canonical:ubuntu:server' has no driver for them;"
        " install it in the start task or by an extension.",
    )
    assert not old.problems + gpu.problems


def test_the_use_is_what_pools_have_or_want_whichever_is_more() -> None:
    rows = [
        {"id": "a", "vmSize": "standard_d2s_v5", "currentDedicatedNodes": 1, "targetDedicatedNodes": 3},
        {"id": "b", "vmSize": "STANDARD_D2S_V5", "currentDedicatedNodes": 2, "targetLowPriorityNodes": 1},
        {"id": "c", "vmSize": "unknown", "currentDedicatedNodes": 9},
    ]

    assert usage_of(rows, SIZES) == Usage(frozenset("abc"), 10, 2, {"standarddsv5family": 10})


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100), st.integers(0, 100))
def test_a_quota_suffices_just_when_the_cores_fit(dedicated: int, spot: int, limit: int, used: int) -> None:
    usage = Usage(dedicated_cores=used, spot_cores=used)
    found = look(
        limits=Limits(limit, limit), usage=usage, dedicated_nodes=dedicated, spot_nodes=spot
    ).shortages

    left = max(limit - used, 0)
    assert len(found) == (2 * dedicated > left) + (2 * spot > left)


def test_an_image_for_rdma_is_warned_of_on_a_size_without_it() -> None:
    found = look(of=image("server", "SupportsRDMAOnly"))

    assert (found.problems, found.warnings) == (
        (),
        (f"Image 'canonical:ubuntu:server' is made for sizes with RDMA, which {D2S} does not have.",),
    )
