"""Which VM sizes Azure retires, as Microsoft's list of November 2026 has it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.vm_sizes.retirement import retirement_of, retirement_warning

MAY_2028, NOVEMBER_2028 = date(2028, 5, 1), date(2028, 11, 15)


@pytest.mark.parametrize(
    ("vm_size", "day"),
    [
        ("standard_a1", date(2024, 8, 31)),
        ("basic_a2", date(2024, 8, 31)),
        ("Standard_A2_v2", NOVEMBER_2028),
        ("standard_a2m_v2", NOVEMBER_2028),
        ("standard_b2ms", NOVEMBER_2028),
        ("standard_b2s_v2", None),
        ("standard_d2", MAY_2028),
        ("standard_ds2", MAY_2028),
        ("Standard_D2_v2", MAY_2028),
        ("STANDARD_DS2_V2", MAY_2028),
        ("standard_ds12-1_v2", MAY_2028),
        ("standard_d2_v3", None),
        ("standard_d2s_v5", None),
        ("standard_dc2s_v2", date(2026, 6, 30)),
        ("standard_dc2ds_v3", date(2029, 10, 31)),
        ("standard_dc2as_v5", None),
        ("standard_f2", NOVEMBER_2028),
        ("standard_f2s_v2", NOVEMBER_2028),
        ("standard_f2as_v6", None),
        ("standard_fx4mds", None),
        ("standard_gs5", NOVEMBER_2028),
        ("standard_hb120rs_v2", date(2027, 5, 31)),
        ("standard_hb120rs_v3", None),
        ("standard_hc44rs", date(2027, 5, 31)),
        ("standard_l4s", MAY_2028),
        ("standard_l8s_v2", NOVEMBER_2028),
        ("standard_l8s_v3", None),
        ("standard_m192ids_v2", date(2027, 3, 31)),
        ("standard_m192s_v2", None),
        ("standard_m208ms_v2", None),
        ("standard_nc6", date(2023, 8, 31)),
        ("standard_nc24rs_v3", date(2025, 9, 30)),
        ("standard_nc4as_t4_v3", None),
        ("standard_nc24ads_a100_v4", None),
        ("standard_nv12s_v3", date(2026, 9, 30)),
        ("standard_nv4as_v4", date(2026, 9, 30)),
        ("standard_nv6ads_a10_v5", None),
    ],
)
def test_a_size_is_retired_with_its_series(vm_size: str, day: date | None) -> None:
    assert retirement_of(vm_size) == day


@pytest.mark.parametrize(
    ("today", "says"),
    [
        (date(2028, 4, 30), "is on Azure's retirement list: it ends on 2028-05-01. Use a newer size before."),
        (MAY_2028, "was retired by Azure on 2028-05-01: it may get no nodes. Use a newer size."),
    ],
)
def test_a_warning_says_when_the_size_ends(today: date, says: str) -> None:
    assert retirement_warning("standard_d2_v2", today) == f"VM size 'standard_d2_v2' {says}"
    assert retirement_warning("standard_d2s_v5", today) is None


@given(st.text())
def test_a_name_of_another_form_is_on_no_list(text: str) -> None:
    assert retirement_of(f"{text}!") is None
