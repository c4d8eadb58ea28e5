"""The environment of an Airflow of its own that runs the example Dags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.source_code import ROOT

__all__ = ["DAGS", "airflow_environment"]

DAGS = ROOT / "example_dags"


def airflow_environment(
    folder: Path, connection: str, public_key: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """
    Return the environment of Airflow's processes.

    :param folder: where its home is made.
    :param connection: the Airflow connection to the account.
    :param public_key: of the user whom the example Dags let in.
    :param environment: that of this process; other settings of Airflow in it are left out.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith("AIRFLOW_")}
    return {
        **kept,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT": connection,
        "AIRFLOW_VAR_BATCHLINUX_PUBLIC_KEY": public_key,
    }
