"""Run contract tests and example Dags on a real account; report how it differs from the embedded service."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError

from tests.azure.differences import differences
from tests.azure.report import DagRun, Report, TestOutcome
from tests.contract.azure_account import account_from, check_empty
from tests.contract.exchanges import RECORD
from tests.demo.environment import DAGS as DAG_FOLDER
from tests.demo.environment import airflow_environment
from tests.demo.login import make_key_pair
from tests.source_code import ROOT

CONTRACT = ROOT / "tests" / "contract"
RESULTS = ROOT / "build" / "azure"
DAGS = ("example_linux_pool", "example_etl", "example_python_functions", "example_maintenance")
"""The example Dags that need no more than the account, and at most three nodes each."""

_OF_EMBEDDED = {"AZURE_BATCH_URL": "", "SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": ""}


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    account: str
    nodes: int
    minutes: float
    only: str
    files: Sequence[str]
    dags: Sequence[str]
    results: Path


def main() -> int:
    """Run it all; the answer is the exit code: 0 if everything passed and nothing is left behind."""
    options = _options()
    environment = _environment(options)
    try:
        account = account_from(environment)
        check_empty(account)
    except (AzureError, ValueError) as error:
        print(str(error).partition("\nTo mitigate")[0])
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    print(
        f"Account {account.account!r} is empty. Limits: {options.nodes} nodes, {options.minutes:g} minutes."
    )
    report = Report(account.endpoint, time.time())
    with tempfile.TemporaryDirectory(prefix="batchlinux-azure-") as name:
        folder = Path(name)
        with _guarded(environment, options, report) as guard:
            report.tests = _contract_tests(folder / "real", environment, options, guard, "--azure")
            if guard.is_running and options.dags:
                report.dags = _example_dags(folder, environment, options.dags, guard)
        print("The same tests on the embedded service ...", flush=True)
        own = {**environment, **_OF_EMBEDDED}
        report.embedded = _contract_tests(folder / "embedded", own, options, None)
        report.differences = differences(
            *(_lines(folder / name / "exchanges.jsonl") for name in ("real", "embedded"))
        )
    print(report.write(options.results))
    return 0 if report.is_good else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="make azure", description=__doc__)
    parser.add_argument("account", help="URL of the account, such as https://NAME.westeurope.batch.azure.com")
    parser.add_argument("--nodes", type=int, default=4, help="nodes at the same time at most")
    parser.add_argument("--minutes", type=float, default=60, help="minutes at most, without the clean-up")
    parser.add_argument("--only", default="", help="expression that selects contract tests, as pytest -k")
    parser.add_argument("--files", nargs="+", default=_files(), help="files of contract tests")
    parser.add_argument("--dags", nargs="*", default=DAGS, help="example Dags to run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the report")
    return Options(**vars(parser.parse_args()))


def _files() -> list[str]:
    """Return the files of contract tests, by their paths in the folder; without those that test the tests."""
    own = {"test_azure_option.py", "test_answer_schema.py", "test_differences.py"}
    found = [path for path in CONTRACT.rglob("test_*.py") if path.name not in own]
    return sorted(str(path.relative_to(CONTRACT)) for path in found)


def _environment(options: Options) -> dict[str, str]:
    """Return the environment of all processes, in which every client trusts the account's certificate."""
    environment = {**os.environ, "AZURE_BATCH_URL": options.account, "AZURE_BATCH_NODES": str(options.nodes)}
    if ca := environment.get("AZURE_BATCH_CA_FILE"):
        environment |= {"SSL_CERT_FILE": ca, "REQUESTS_CA_BUNDLE": ca}
        os.environ.update(SSL_CERT_FILE=ca, REQUESTS_CA_BUNDLE=ca)
    return environment


class Guard:
    """The process that ends what runs and empties the account; see :mod:`tests.azure.guard`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.is_running = True

    def run(self, command: Sequence[str], **options: Any) -> None:
        """Run a command to its end; the guard may end it before."""
        with subprocess.Popen(command, start_new_session=True, **options) as process:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{process.pid}\n")
            self._process.stdin.flush()
            self.is_running = process.wait() >= 0


@contextmanager
def _guarded(environment: Mapping[str, str], options: Options, report: Report) -> Iterator[Guard]:
    command = [sys.executable, "-m", "tests.azure.guard", str(options.nodes), str(options.minutes * 60)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, **pipes) as process:
        try:
            yield Guard(process)
        finally:
            print("Deleting everything in the account ...", flush=True)
            said, _ = process.communicate()
            report.guard = said.strip().splitlines()
            report.is_empty = process.returncode == 0


def _contract_tests(
    folder: Path, environment: Mapping[str, str], chosen: Options, guard: Guard | None, *more: str
) -> list[TestOutcome]:
    """Run the contract tests, write down their exchanges in the folder, and return how they ended."""
    folder.mkdir()
    files = [str(CONTRACT / name) for name in chosen.files]
    selected = ["-k", chosen.only] if chosen.only else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, *selected, *files]
    options: dict[str, Any] = {"env": {**environment, RECORD: str(folder)}, "cwd": ROOT}
    if guard is None:
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, **options)
    else:
        guard.run(command, **options)
    outcomes: dict[str, TestOutcome] = {}
    for line in _lines(folder / "outcomes.jsonl"):
        # A test may fail after it has passed, when what it left behind is deleted.
        if line["name"] not in outcomes or line["kind"] == "failed":
            outcomes[line["name"]] = TestOutcome(**line)
    return list(outcomes.values())


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _example_dags(
    folder: Path, environment: Mapping[str, str], dags: Sequence[str], guard: Guard
) -> dict[str, DagRun]:
    """Run example Dags through Airflow."""
    print(f"Airflow runs {', '.join(dags)} ...", flush=True)
    _, public_key = make_key_pair(folder)
    of_airflow = airflow_environment(folder, _connection(environment), public_key, environment)
    report, log = folder / "dags.json", folder / "airflow.log"
    with log.open("w") as output:
        options: dict[str, Any] = {"env": of_airflow, "cwd": ROOT, "stdout": output, "stderr": output}
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, **options)
        command = [sys.executable, "-m", "tests.demo.airflow_run", str(DAG_FOLDER), str(report)]
        guard.run([*command, *dags], **options)
    runs = json.loads(report.read_text()) if report.exists() else {}
    tail = "\n".join(log.read_text().splitlines()[-200:])
    return {dag: DagRun.of(runs.get(dag), tail) for dag in dags}


def _connection(environment: Mapping[str, str]) -> str:
    account = account_from(environment)
    extra = {"account_url": account.endpoint}
    named = {"ca_file": "AZURE_BATCH_CA_FILE", "authority_host": "AZURE_AUTHORITY_HOST"}
    extra |= {name: environment[variable] for name, variable in named.items() if environment.get(variable)}
    if account.key is None:
        extra["auth"] = "default"
    parts = {"login": account.account, "password": account.key}
    return json.dumps({"conn_type": "azure_batch_linux", **parts, "extra": extra})


if __name__ == "__main__":
    sys.exit(main())
