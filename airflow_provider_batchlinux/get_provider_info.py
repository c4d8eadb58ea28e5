"""The metadata of this provider for Airflow's providers manager."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_batchlinux"
_INTEGRATION = "Azure Batch (Linux)"
_WAYS_TO_AUTHENTICATE = ("shared_key", "default", "client_secret", "managed_identity", "workload_identity")


def get_provider_info() -> dict[str, Any]:
    """Return the metadata of the provider, as the entry point ``apache_airflow_provider`` requires."""
    return {
        "package-name": "airflow-provider-batchlinux",
        "name": _INTEGRATION,
        "description": "Ready Linux nodes on Azure Batch: create, wait, log in, run commands, clean up.",
        "integrations": [{"integration-name": _INTEGRATION, "tags": ["azure"]}],
        "hooks": _modules("hooks.batch_linux", "hooks.node_sftp", "hooks.node_ssh"),
        "operators": _modules(
            "operators.images",
            "operators.job",
            "operators.node_ssh",
            "operators.node_users",
            "operators.node_users_lease",
            "operators.nodes",
            "operators.pool",
            "operators.pool_size",
            "operators.sweeper",
            "operators.task",
        ),
        "sensors": _modules("sensors.job", "sensors.nodes", "sensors.pool"),
        "triggers": _modules(
            "triggers.job",
            "triggers.node_actions",
            "triggers.node_users",
            "triggers.node_users_lease",
            "triggers.nodes",
            "triggers.pool",
            "triggers.room",
            "triggers.task",
        ),
        "task-decorators": [
            {"name": name, "class-name": f"{_PACKAGE}.decorators.batch_linux.{name}_task"}
            for name in ("batch_linux", "batch_linux_cmd")
        ],
        "extra-links": [
            f"{_PACKAGE}.links.pool_page.BatchLinuxPoolPageLink",
            *(f"{_PACKAGE}.links.portal.BatchLinux{kind}Link" for kind in ("Job", "Node", "Pool")),
        ],
        "connection-types": [_connection_type()],
        "config": {"batch_linux": _config()},
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "azure_batch_linux",
        "hook-class-name": f"{_PACKAGE}.hooks.batch_linux.BatchLinuxHook",
        "hook-name": _INTEGRATION,
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {
                "host": "Account URL",
                "login": "Batch account name",
                "password": "Batch account key",
            },
            "placeholders": {
                "host": "https://NAME.REGION.batch.azure.com",
                "login": "required with a key; otherwise read from the account URL",
                "password": "leave empty to use an Entra identity",
                # The page sends 0 for none, which Airflow 3.3.2 takes for a change of the stored connection.
                "port": "443; the Test button of Airflow 3.3 needs it",
            },
        },
        "conn-fields": _connection_fields(),
    }


def _config() -> dict[str, Any]:
    return {
        "description": "Azure Batch (Linux)",
        "options": {
            "installation_id": {
                "description": (
                    "The id of this Airflow in the metadata of the pools and jobs that it creates, by which "
                    "it recognises its own on an account that several Airflows share. Empty: the Variable "
                    "batch_linux_installation_id, which the first task makes.\n"
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "production",
                "default": "",
            },
            **_page_options(),
            "forbid_open_ssh": {
                "description": (
                    "Refuse to create pools whose SSH is open to the whole Internet, and to add users to "
                    "such pools, whatever the connection. Otherwise a warning is logged.\n"
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
        },
    }


def _page_options() -> dict[str, Any]:
    return {
        "ui_connections": {
            "description": (
                "The ids of the connections whose accounts the page Batch pools in Airflow shows, with "
                "commas between them. Empty: there is no page. Set it for the API server, and for the "
                "workers, which store the link Pool in Airflow. The page needs Airflow 3.1.1 or later.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "azure_batch_linux_default",
            "default": "",
        },
        "ui_maintenance_dag": {
            "description": (
                "The id of the maintenance Dag, which carries out the actions of the page Batch pools. "
                "Empty: the page has no actions.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "batch_linux_maintenance",
            "default": "",
        },
        "ui_prices_file": {
            "description": (
                "A file with the prices of nodes for the page Batch pools, which batchlinux prices SIZE "
                "--write FILE makes. The page itself requests no prices. Empty: no prices.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "/opt/airflow/batch-prices.json",
            "default": "",
        },
    }


def _connection_fields() -> dict[str, Any]:
    """Return the fields below those of every connection. Airflow folds each section."""
    return {
        "auth": {
            "label": "Authentication",
            "description": "Empty: the shared key if one is set, otherwise Azure's default credential chain.",
            "schema": {
                "type": ["string", "null"],
                "default": "",
                "enum": ["", *_WAYS_TO_AUTHENTICATE],
                "section": "Kind of login",
            },
        },
        **_fields_of_logins(),
        **_section(
            "Management plane and links to the portal",
            subscription_id=_text("Subscription id", "For links to the portal and the management plane."),
            resource_group=_text("Resource group", "For links to the portal and the management plane."),
        ),
        **_section(
            "Proxy or private cloud",
            ca_file=_text(
                "CA file",
                "CA certificates (PEM) to trust instead of the system's, for a proxy or private cloud.",
            ),
            authority_host=_text(
                "Authority host",
                "The host of the token endpoint, outside the public cloud. Empty: AZURE_AUTHORITY_HOST.",
            ),
            management_url=_text(
                "Management URL",
                "The URL of the management plane, outside the public cloud. Empty: that of the public cloud.",
            ),
        ),
        **_section("Pools and requests", **_fields_of_pools()),
    }


def _fields_of_logins() -> dict[str, Any]:
    return {
        **_section(
            "Login by client secret",
            tenant_id=_text("Tenant id", "For a client secret; optional for a workload identity."),
            client_id=_text("Client id", "Of the application, or of a user-assigned managed identity."),
            client_secret=_text(
                "Client secret", "Only for the authentication client_secret.", format="password"
            ),
        ),
        **_section(
            "Login by managed or workload identity",
            managed_identity_client_id=_text(
                "Managed identity client id",
                "The client id, under the name that azure_batch connections use.",
            ),
            workload_identity_tenant_id=_text(
                "Workload identity tenant id",
                "The tenant id, under the name that azure_batch connections use.",
            ),
        ),
    }


def _fields_of_pools() -> dict[str, Any]:
    return {
        "id_prefix": _text(
            "Prefix of ids",
            "The prefix of the ids of pools and jobs that tasks create. Empty: af.",
        ),
        "forbid_open_ssh": {
            "label": "Forbid open SSH",
            "description": "Refuse pools whose SSH is open to the whole Internet, instead of a warning.",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "retry_budget": {
            "label": "Retry budget (seconds)",
            "description": "How long a request is retried while the service is unavailable. Empty: 300.",
            "schema": {"type": ["number", "null"], "minimum": 0},
        },
    }


def _section(title: str, **fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {**field, "schema": {**field["schema"], "section": title}} for name, field in fields.items()
    }


def _text(label: str, description: str, **schema: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}
