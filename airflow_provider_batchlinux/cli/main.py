"""The command ``batchlinux``: parse the arguments, and run the subcommand."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from airflow_provider_batchlinux.cli.commands import (
    doctor,
    images,
    jobs,
    local,
    nodes,
    pools,
    prices,
    ssh,
    sweep,
    users,
)
from airflow_provider_batchlinux.cli.terminal.output import say, warnings_shown

_DISTRIBUTION = "airflow-provider-batchlinux"
_PROGRAM = "batchlinux"
_EPILOG = """\
The account is that of the Airflow connection named by --conn or BATCHLINUX_CONN, or else of the variable
AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT. Without them, AZURE_BATCH_ENDPOINT names the account, and
AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY its shared key; without a key, Azure's default chain of
credentials is used (environment, workload and managed identity, az login). Without any of these, it is
that of the Airflow connection azure_batch_linux_default.

The exit status is 0 if everything was done, 1 if something failed or nothing was done, 2 for wrong arguments,
and 130 after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: the arguments after the name of the command; ``None`` uses those of the process.
    :return: the exit code: 0 if everything was done, 1 if something failed or nothing was done, 2 for wrong
        arguments, 130 after Ctrl-C.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings_shown():
            code: int = options.command(options)
        # Here a reader that has gone or a full disk is noticed; later, Python reports it in its own words.
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("Interrupted. What the service was already asked to do goes on.")
        return 130
    except BrokenPipeError:
        # The reader of the output, such as head, has enough.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # Python flushes it at its end
        return 1
    except OSError as error:
        say(f"{_PROGRAM}: {error}")
        if error.errno == errno.ENOSPC:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return 1
    except Exception as error:
        if not _is_for_users(error):
            raise
        say(f"{_PROGRAM}: {error}")
        return 1
    return code


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    Parse the arguments.

    :raises SystemExit: if they are wrong, or request help.
    """
    if arguments[:1] == ["emulator"]:
        # Its options are its own, and argparse takes options for another program only after a first argument.
        return argparse.Namespace(command=local.run_emulator, arguments=arguments[1:])
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    if arguments[:1] != ["ssh"]:
        return parser.parse_args(arguments)
    # After '--' follows the command for a node. Before the ids it says as usual that no option follows, such
    # as before an id that begins with a hyphen, and the command comes after the next one.
    given, remote_command = _split(arguments, 0)
    probe, more = parser.parse_known_args([*given, "probe"])
    if probe.node is None and not more:
        # The added word has become the pool's id, so no id comes before '--'.
        given, remote_command = _split(arguments, len(given) + 1)
    return parser.parse_args(given, argparse.Namespace(remote_command=remote_command))


def _split(arguments: Sequence[str], start: int) -> tuple[Sequence[str], Sequence[str]]:
    """Return what comes before and after the first ``--`` from a place on."""
    at = list(arguments).index("--", start) if "--" in arguments[start:] else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _is_for_users(error: Exception) -> bool:
    """Return whether the message of an error is all that the user needs; other errors show a traceback."""
    # Imported here, because Airflow is slow to import.
    from airflow_provider_batchlinux.exceptions import BatchLinuxError

    return isinstance(error, (BatchLinuxError, ValueError))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Linux compute on Azure Batch, from a terminal.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version(_DISTRIBUTION))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    pools.add_command(commands)
    nodes.add_command(commands)
    jobs.add_commands(commands)
    users.add_command(commands)
    sweep.add_command(commands)
    doctor.add_command(commands)
    images.add_command(commands)
    prices.add_command(commands)
    ssh.add_command(commands)
    local.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
