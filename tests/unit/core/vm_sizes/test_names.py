"""What the name of a VM size tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.vm_sizes.names import VmSizeTraits, traits_of


@pytest.mark.parametrize(
    ("vm_size", "architecture", "generation"),
    [
        ("standard_d2s_v5", "x64", None),
        ("Standard_D2ps_v5", "arm64", 2),
        ("standard_d2pds_v6", "arm64", 2),
        ("standard_d2as_v6", "x64", 2),
        ("standard_e32-16ads_v5", "x64", None),
        ("standard_dc2as_v5", "x64", 2),
        ("standard_dc2s_v2", "x64", 2),
        ("standard_dc2s", "x64", 2),
        ("standard_ec2as_v5", "x64", 2),
        ("standard_nc24ads_a100_v4", "x64", 2),
        ("standard_ncc40ads_h100_v5", "x64", 2),
        ("standard_nc4as_t4_v3", "x64", None),
        ("standard_nc6", "x64", 1),
        ("standard_nd40rs_v2", "x64", 2),
        ("standard_nd96asr_v4", "x64", 2),
        ("standard_nd96amsr_a100_v4", "x64", 2),
        ("standard_nd96isr_h100_v5", "x64", 2),
        ("standard_nd6s", "x64", None),
        ("standard_nv4ads_v710_v5", "x64", None),
        ("standard_m208ms_v2", "x64", 2),
        ("standard_m64s", "x64", None),
        ("basic_a1", "x64", 1),
        ("standard_a4m_v2", "x64", 1),
        ("Standard_D2_v2", "x64", 1),
        ("standard_d2", "x64", 1),
        ("standard_ds2_v2", "x64", None),
        ("standard_d2_v3", "x64", 1),
        ("standard_d2s_v3", "x64", None),
        ("standard_d2_v4", "x64", None),
        ("standard_d2a_v4", "x64", None),
        ("standard_e4_v3", "x64", 1),
        ("standard_e4s_v3", "x64", None),
        ("standard_f4", "x64", 1),
        ("standard_f4s", "x64", None),
        ("standard_f4s_v2", "x64", None),
        ("standard_np10s", "x64", None),
        ("standard_hb120rs_v3", "x64", None),
        ("standard_b2pts_v2", "arm64", 2),
        ("a1", "x64", 1),
    ],
)
def test_a_name_tells_architecture_and_sometimes_the_generation(
    vm_size: str, architecture: str, generation: int | None
) -> None:
    assert traits_of(vm_size) == VmSizeTraits(architecture, generation)


@given(st.text())
def test_a_name_of_another_form_tells_nothing_and_raises_nothing(text: str) -> None:
    found = traits_of(text)

    assert found.architecture in (None, "x64", "arm64")
    assert found.generation in (None, 1, 2)
