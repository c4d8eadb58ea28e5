"""`airflow standalone` as processes that can be killed and started again; knows nothing of Batch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
from sqlalchemy import create_engine, inspect, text

from tests.e2e.polling import until

__all__ = ["Standalone", "running_airflow"]

_START_LIMIT = 600.0
_END_LIMIT = 8.0
_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass
class Standalone:
    """
    A running Airflow; its home holds the logs and what the processes print.

    :param database: the SQLAlchemy URL of its database.
    """

    url: str
    home: Path
    database: str
    environment: Mapping[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str) -> None:
        """Start a component of Airflow."""
        with (self.home / f"{command[0]}.out").open("ab") as output:
            line = [sys.executable, "-m", "airflow", *command]
            process = subprocess.Popen(line, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
        self.started.append(process)

    def wait_until_healthy(self) -> None:
        """Wait until the API server answers and all components have a heart that beats."""
        until(self._is_healthy, "a healthy Airflow", limit=_START_LIMIT)

    def processes(self) -> list[psutil.Process]:
        """List all processes of this Airflow."""
        roots = [psutil.Process(process.pid) for process in self.started if process.poll() is None]
        return [process for root in roots for process in [root, *root.children(recursive=True)]]

    def rows(self) -> Iterator[tuple[str, str]]:
        """Read each row of each table of the database, as the table and a text."""
        engine = create_engine(self.database)
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                for row in connection.execute(text(f'select * from "{table}"')):
                    yield table, str(row)
        engine.dispose()

    def trigger_rows(self) -> list[str]:
        """Read what the database holds of the triggers that wait, a text for each."""
        return [row for table, row in self.rows() if table == "trigger"]

    def kill_triggerer(self) -> None:
        """End the triggerer without a chance to tidy up, as a lost machine does."""
        found = [process for process in self.processes() if "triggerer" in _words(process)]
        assert found, "There is no triggerer."
        _kill({process for root in found for process in [root, *root.children(recursive=True)]})

    def spoil_triggers(self) -> None:
        """Give all triggers in the database a class that no triggerer finds."""
        code = (
            "from airflow.models.trigger import Trigger; from airflow.utils.session import create_session\n"
            "from sqlalchemy import update\n"
            "with create_session() as session:\n"
            "    session.execute(update(Trigger).values(classpath='lost.Trigger'))"
        )
        subprocess.run([sys.executable, "-c", code], env=self.environment, check=True, capture_output=True)

    def stop(self) -> None:
        """End all processes, orderly where they can, and leave none."""
        everything = self.processes()
        for process in self.started:
            process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(everything, timeout=_END_LIMIT)
        _kill(alive)
        for process in self.started:
            process.wait()

    def _is_healthy(self) -> bool:
        assert self.started[0].poll() is None, self._printed()
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health").json()
        except (httpx.TransportError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in _PARTS)

    def _printed(self) -> str:
        return (self.home / "standalone.out").read_text()[-5000:]


@contextmanager
def running_airflow(
    home: Path, bundles: Mapping[str, Path], settings: Mapping[str, str], database: str | None = None
) -> Iterator[Standalone]:
    """
    Run a whole Airflow on free ports of the loopback until the block ends.

    :param bundles: folders of Dags by name.
    :param settings: further environment variables, such as connections.
    :param database: the SQLAlchemy URL of a server, with which a second scheduler and a second triggerer run;
        ``None`` for SQLite.
    """
    home.mkdir()
    api_port, worker_port, trigger_port = _free_ports(3)
    url = f"http://127.0.0.1:{api_port}"
    ports = {
        "AIRFLOW__API__PORT": str(api_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_port),
    }
    where = database or f"sqlite:///{home}/airflow.db"
    environment = {**_environment(home, bundles), **ports, **settings}
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = where
    airflow = Standalone(url, home, where, environment)
    airflow.start("standalone")
    try:
        airflow.wait_until_healthy()
        if database is not None:
            # The first ones serve the logs, which are in the same folder.
            airflow.start("scheduler", "--skip-serve-logs")
            airflow.start("triggerer", "--skip-serve-logs")
        yield airflow
    finally:
        airflow.stop()


def _environment(home: Path, bundles: Mapping[str, Path]) -> dict[str, str]:
    # The command starts its components by the name `airflow`, so that must be the one of this environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **kept,
        "PATH": path,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": _bundle_list(bundles),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        # A lost triggerer's triggers go to another one after this; 30 s are usual.
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    }


def _bundle_list(bundles: Mapping[str, Path]) -> str:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps(
        [
            {"name": name, "classpath": local, "kwargs": {"path": str(folder)}}
            for name, folder in bundles.items()
        ]
    )


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _words(process: psutil.Process) -> list[str]:
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []
    return words


def _kill(processes: set[psutil.Process] | list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_END_LIMIT)
