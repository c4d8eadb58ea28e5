"""The plugin adds nothing unless it is configured, and costs the other components of Airflow nothing."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import pytest

from airflow_provider_batchlinux.get_provider_info import get_provider_info
from airflow_provider_batchlinux.plugins import batch_pools
from airflow_provider_batchlinux.plugins.batch_pools import BatchPoolsPlugin
from tests.airflow_harness import AIRFLOW
from tests.source_code import MODULES, imports, tree_of


def test_the_page_is_off_unless_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (BatchPoolsPlugin().fastapi_apps, BatchPoolsPlugin().external_views) == ([], [])

    if AIRFLOW < (3, 1, 1):  # where it stays off
        monkeypatch.setattr(batch_pools, "AIRFLOW", "3.1.1")
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_CONNECTIONS", " one,, two ")
    [app], [view] = BatchPoolsPlugin().fastapi_apps, BatchPoolsPlugin().external_views

    assert app["url_prefix"] == "/batch-pools"
    # Without a leading slash it follows Airflow's own address, which may have a path.
    assert view["href"] == "batch-pools/"
    assert view["category"] == "browse"


def test_an_older_airflow_does_not_get_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_CONNECTIONS", "one")
    monkeypatch.setattr(batch_pools, "AIRFLOW", "3.1.0")

    assert BatchPoolsPlugin().external_views == []
    assert "needs Airflow 3.1.1" in caplog.text


def test_only_the_entry_point_registers_the_plugin() -> None:
    [found] = [one for one in entry_points(group="airflow.plugins") if one.name == "batch_linux_pools"]

    assert found.load() is BatchPoolsPlugin
    assert "plugins" not in get_provider_info()


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    # All components of Airflow import it; what it imports inside functions, only the API server does.
    at_once = set(imports(tree_of(MODULES[batch_pools.__name__]).body))
    light = {"airflow", "airflow.plugins_manager", "airflow_provider_batchlinux.links._page"}

    assert {name for name in at_once if name.split(".")[0] not in sys.stdlib_module_names} <= {
        *light,
        "airflow.__version__",
        "airflow.plugins_manager.AirflowPlugin",
    }
