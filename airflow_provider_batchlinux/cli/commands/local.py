"""What concerns this machine alone: ``batchlinux examples``, ``completion`` and ``emulator``."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from filecmp import cmp
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.cli.terminal.output import NothingDoneError, print_line, say
from airflow_provider_batchlinux.core.text import counted, joined

_PACKAGE = Path(__file__).parents[2]
_FOLDER = "batchlinux_examples"


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's commands."""
    examples = commands.add_parser(
        "examples",
        help="copy the example Dags to where Airflow finds them",
        description=f"Copy the example Dags into DIR/{_FOLDER}.",
    )
    examples.add_argument("--to", metavar="DIR", type=Path, help="default: the dags_folder of Airflow")
    examples.add_argument("--overwrite", action="store_true", help="also replace files that you have changed")
    examples.set_defaults(command=_copy_examples)
    completion = commands.add_parser(
        "completion",
        help="print what lets your shell complete this command",
        description='Print what lets your shell complete this command: eval "$(batchlinux completion bash)"',
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="your shell")
    completion.set_defaults(command=_print_completion)
    emulator = commands.add_parser(
        "emulator", add_help=False, help="run the embedded Batch service, as batchlinux-emulator does"
    )
    emulator.set_defaults(command=run_emulator, arguments=[])


def run_emulator(options: Namespace) -> int:
    """Become the command ``batchlinux-emulator``."""
    module = "airflow_provider_batchlinux.emulator"
    os.execv(sys.executable, [sys.executable, "-m", module, *options.arguments])


def _copy_examples(options: Namespace) -> int:
    # A checkout has them beside the package.
    source = next(
        (place for place in (_PACKAGE / "example_dags", _PACKAGE.parent / "example_dags") if place.is_dir()),
        None,
    )
    if source is None:
        msg = "This installation has no example Dags. Install the wheel of airflow-provider-batchlinux."
        raise ValueError(msg)
    if options.to is None:
        from airflow.configuration import conf

        options.to = Path(conf.get("core", "dags_folder"))
    target = options.to.expanduser() / _FOLDER
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    news = [name for name in files if not (target / name).exists()]
    changed = [name for name in files if name not in news and not cmp(source / name, target / name, False)]
    if changed and not options.overwrite:
        msg = (
            f"Nothing was copied: {joined([str(target / name) for name in changed])} would be replaced. Pass "
            "--overwrite, or another --to."
        )
        raise NothingDoneError(msg)
    for name in (*news, *changed):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    if not news and not changed:
        msg = f"Nothing was copied: {target} has all of them already."
        raise NothingDoneError(msg)
    say(f"{counted(len(news) + len(changed), 'file')} copied.")
    print_line(str(target))
    return 0


def _print_completion(options: Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print_line(shellcode(["batchlinux"], shell=options.shell))
    return 0
