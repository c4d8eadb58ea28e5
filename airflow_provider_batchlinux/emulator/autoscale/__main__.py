"""A command that evaluates an autoscale formula for a made-up pool."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow_provider_batchlinux.emulator.autoscale.evaluator import Scene, Targets, evaluate
from airflow_provider_batchlinux.emulator.autoscale.measures import MEASURED
from airflow_provider_batchlinux.emulator.autoscale.metrics import SAMPLE_PERIOD, Sample
from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaError

_EPILOG = """\
This is the evaluator of the embedded service. It follows Microsoft's documentation. Azure's own evaluation is
the operation "evaluate autoscale" on a pool with automatic scaling."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Evaluate a formula at one or more times, and print the results.

    :param arguments: command line; ``None`` uses that of the process.
    :return: 0, or 1 if the formula is invalid.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        formula = options.formula.read_text(encoding="utf-8") if options.formula else sys.stdin.read()
    except OSError as error:
        parser.error(str(error))
    try:
        for time in options.at or [datetime.now(timezone.utc)]:
            targets = evaluate(formula, _scene(options, time))
            sys.stdout.write(f"{time:%a %Y-%m-%d %H:%M}  {_line(targets)}\n")
    except FormulaError as error:
        sys.stderr.write(f"{error.code}: {error.sentence}\n{error.detail}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batchlinux.emulator.autoscale",
        description="Evaluate an autoscale formula for a made-up pool.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "formula", nargs="?", type=Path, help="file with the formula; default: standard input"
    )
    parser.add_argument("--dedicated", type=int, default=0, help="number of dedicated nodes in the pool")
    parser.add_argument("--spot", type=int, default=0, help="number of Spot nodes in the pool")
    parser.add_argument(
        "--sample",
        type=_samples,
        action="append",
        default=[],
        metavar="NAME=N[,N...]",
        help="samples of a metric, such as PendingTasks=0,12,40: from old to new, 30 seconds apart",
    )
    parser.add_argument(
        "--at",
        type=_time,
        action="append",
        help="time of the evaluation, such as 2026-11-23T08:00Z; may be repeated; default: now",
    )
    return parser


def _samples(text: str) -> tuple[str, list[float]]:
    name, _, values = text.partition("=")
    name = "$" + name.strip().lstrip("$")
    if name not in MEASURED:
        msg = f"{name} is not a metric: {', '.join(MEASURED)}"
        raise argparse.ArgumentTypeError(msg)
    try:
        return name, [float(value) for value in values.split(",")]
    except ValueError:
        msg = f"{values!r} is not a list of numbers such as 0,12,40"
        raise argparse.ArgumentTypeError(msg) from None


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        msg = f"{text!r} is not a time such as 2026-11-23T08:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    return time.replace(tzinfo=time.tzinfo or timezone.utc).astimezone(timezone.utc)


def _scene(options: argparse.Namespace, now: datetime) -> Scene:
    nodes = {"$CurrentDedicatedNodes": options.dedicated, "$CurrentLowPriorityNodes": options.spot}
    current_nodes = {name: [float(nodes.get(name, 0))] for name in MEASURED}
    measured: dict[str, list[float]] = {**current_nodes, **dict(options.sample)}
    current = {name: values[-1] for name, values in measured.items()}
    return Scene(now, options.dedicated, options.spot, current, _taken(measured, now), random.random)


def _taken(measured: Mapping[str, Sequence[float]], now: datetime) -> list[Sample]:
    # A metric with fewer samples than the others had its first value before them.
    length = max(map(len, measured.values()))
    filled = {name: [values[0]] * (length - len(values)) + [*values] for name, values in measured.items()}
    return [
        Sample(
            now - timedelta(seconds=SAMPLE_PERIOD * (length - 1 - place)),
            {name: values[place] for name, values in filled.items()},
        )
        for place in range(length)
    ]


def _line(targets: Targets) -> str:
    own = [f"{name}={value}" for name, value in sorted((targets.variables or {}).items())]
    return "  ".join([f"{targets.dedicated} dedicated, {targets.spot} spot, {targets.deallocation}", *own])


if __name__ == "__main__":
    sys.exit(main())
