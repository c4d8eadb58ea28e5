"""The provider info is correct and complete."""

from __future__ import annotations

import json
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from airflow.sdk import BaseOperator

import airflow_provider_batchlinux as package
from airflow_provider_batchlinux.client.transport.account import AuthKind
from airflow_provider_batchlinux.get_provider_info import get_provider_info
from airflow_provider_batchlinux.hooks._account_connection import settings_of
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

INFO = get_provider_info()
[CONNECTION_TYPE] = INFO["connection-types"]
FIELDS: dict[str, Any] = CONNECTION_TYPE["conn-fields"]


def modules(kind: str) -> list[str]:
    return [name for item in INFO[kind] for name in item["python-modules"]]


def public_modules(folder: str) -> set[str]:
    prefix = f"{package.__name__}.{folder}."
    found = pkgutil.iter_modules([str(files(package) / folder)], prefix)
    return {module.name for module in found if not module.name.startswith(f"{prefix}_")}


class Asked(dict[str, Any]):
    """An extra with nothing in it, which remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default


def schema_of_airflow(name: str) -> Any:
    return json.loads((files("airflow") / name).read_text())


def test_the_description_fits_airflows_schema() -> None:
    jsonschema.validate(INFO, schema_of_airflow("provider_info.schema.json"))


def test_the_connection_form_fits_the_schema_of_airflows_own_providers() -> None:
    # The schema above says nothing of forms. At the floor of Airflow 3.1 neither does this one.
    whole = schema_of_airflow("provider.yaml.schema.json")

    jsonschema.validate([CONNECTION_TYPE], whole["properties"]["connection-types"])


@pytest.mark.parametrize(
    "path",
    [
        *(name for kind in ("hooks", "operators", "sensors", "triggers") for name in modules(kind)),
        *INFO["extra-links"],
        *(decorator["class-name"] for decorator in INFO["task-decorators"]),
        CONNECTION_TYPE["hook-class-name"],
    ],
)
def test_each_path_leads_to_something(path: str) -> None:
    assert pkgutil.resolve_name(path)


@pytest.mark.parametrize("kind", ["operators", "sensors", "triggers"])
def test_no_public_module_is_left_out(kind: str) -> None:
    assert set(modules(kind)) == public_modules(kind)


def test_no_link_of_an_operator_is_left_out() -> None:
    classes = (value for name in modules("operators") for value in vars(import_module(name)).values())
    operators = [value for value in classes if isinstance(value, type) and issubclass(value, BaseOperator)]
    links = {type(link) for operator in operators for link in operator.operator_extra_links}

    assert {pkgutil.resolve_name(path) for path in INFO["extra-links"]} == links


def test_the_hook_and_the_provider_info_agree() -> None:
    assert pkgutil.resolve_name(CONNECTION_TYPE["hook-class-name"]) is BatchLinuxHook
    assert CONNECTION_TYPE["connection-type"] == BatchLinuxHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == BatchLinuxHook.hook_name
    assert hasattr(BatchLinuxHook(), BatchLinuxHook.conn_name_attr)
    assert BatchLinuxHook.default_conn_name == f"{BatchLinuxHook.conn_type}_default"


def test_the_form_has_a_field_for_each_setting_that_the_hook_reads() -> None:
    asked = Asked()
    with pytest.raises(ValueError, match="account_url"):
        settings_of(login=None, password=None, host=None, extra=asked)

    # The standard field of the host is for the URL: a URL in the extra is that of another type of connection.
    assert {name for name in asked.names if not name.startswith("extra__")} == {"account_url", *FIELDS}


def test_the_form_begins_with_url_account_and_key_and_folds_the_rest() -> None:
    behaviour = CONNECTION_TYPE["ui-field-behaviour"]

    assert behaviour["hidden-fields"] == ["schema"]
    assert [behaviour["relabeling"][name] for name in ("host", "login", "password")] == [
        "Account URL", "Batch account name", "Batch account key",
    ]  # fmt: skip
    assert all(field["schema"]["section"] for field in FIELDS.values())


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        ("https://name.region.batch.azure.com", 443, "https://name.region.batch.azure.com"),
        ("https://name.region.batch.azure.com/", 0, "https://name.region.batch.azure.com"),
        ("name.region.batch.azure.com", None, "https://name.region.batch.azure.com"),
        ("http://127.0.0.1:8443", 443, "http://127.0.0.1:8443"),
        ("http://127.0.0.1", 8443, "http://127.0.0.1:8443"),
    ],
)
def test_a_port_that_the_test_button_needs_changes_no_url(host: str, port: int | None, endpoint: str) -> None:
    """Airflow 3.3.2 refuses to test a stored connection without a port, so the form asks for one."""
    settings = settings_of(login="name", password="a2V5", host=host, port=port, extra={})

    assert settings.endpoint == endpoint


def test_the_form_offers_each_way_to_authenticate() -> None:
    assert FIELDS["auth"]["schema"]["enum"] == ["", *(kind.value for kind in AuthKind)]


def test_the_form_hides_what_is_secret() -> None:
    hidden = {name for name, field in FIELDS.items() if field["schema"].get("format") == "password"}

    assert hidden == {"client_secret"}


def test_each_field_of_the_form_may_be_left_empty() -> None:
    for name, field in FIELDS.items():
        assert "null" in field["schema"]["type"], name


def test_airflow_finds_the_description_by_its_entry_point() -> None:
    [found] = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.module.startswith(package.__name__)
    ]

    assert found.load() is get_provider_info
    assert found.dist is not None
    assert found.dist.name == INFO["package-name"]
    assert found.dist.version == package.__version__
