"""Run Dags of a folder through Airflow, one after the other, and write down how they went."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

BUNDLE = "dags-folder"


def main() -> None:
    """Run the named Dags; the arguments are the folder, the file for the report, and the Dag ids."""
    folder, report, *dag_ids = sys.argv[1:]
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(folder, bundle_name=BUNDLE)
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    sync_bag_to_db(bag, BUNDLE, None)
    runs = {dag_id: _run(bag.dags[dag_id]) for dag_id in dag_ids}
    Path(report).write_text(json.dumps(runs, default=str))


def _run(dag: Any) -> dict[str, Any]:
    started = time.monotonic()
    run = dag.test()
    tasks: dict[str, list[dict[str, Any]]] = {}
    for ti in sorted(run.get_task_instances(), key=lambda ti: ti.map_index):
        tasks.setdefault(ti.task_id, []).append(_task_instance(run, ti))
    return {"state": str(run.state), "seconds": time.monotonic() - started, "tasks": tasks}


def _task_instance(run: Any, ti: Any) -> dict[str, Any]:
    from airflow.models.xcom import XComModel

    stored = XComModel.get_many(
        run_id=run.run_id, dag_ids=[ti.dag_id], task_ids=[ti.task_id], map_indexes=[ti.map_index]
    )
    values = {row.key: XComModel.deserialize_value(row) for row in _rows(stored)}
    dates = {
        name: getattr(ti, name).timestamp() if getattr(ti, name) else None
        for name in ("start_date", "end_date")
    }
    return {"state": str(ti.state), "result": values.get("return_value"), **dates}


def _epoch(instant: Any) -> float | None:
    return instant.timestamp() if instant else None


def _rows(query: Any) -> list[Any]:
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(query))


if __name__ == "__main__":
    main()
