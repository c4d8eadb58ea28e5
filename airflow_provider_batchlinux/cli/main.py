"""The command ``batchlinux``: parse the arguments, and run the subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from airflow_provider_batchlinux.cli import images, prices, ssh

_DISTRIBUTION = "airflow-provider-batchlinux"
_PROGRAM = "batchlinux"
_EPILOG = """\
The account is that of the Airflow connection named by --conn-id. Without it, AZURE_BATCH_ENDPOINT names the
account, AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY its shared key; without a key, Azure's default chain
of credentials is used (environment, workload and managed identity, az login). Without either, the Airflow
connection azure_batch_linux_default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: the arguments after the name of the command; ``None`` uses those of the process.
    :return: the exit code: 0 for success, 1 for a failure, 2 for wrong arguments.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        code: int = options.command(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not _is_for_users(error):
            raise
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
        return 1
    return code


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    Parse the arguments.

    :raises SystemExit: if they are wrong, or request help.
    """
    parser = _parser()
    given, remote_command = _split(arguments)
    options = parser.parse_args(given, argparse.Namespace(remote_command=remote_command))
    if remote_command and not getattr(options, "takes_remote_command", False):
        parser.error("this command takes no command after '--'")
    return options


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return our arguments, and the command for a node after '--'."""
    if "--" not in arguments:
        return arguments, ()
    at = list(arguments).index("--")
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
    images.add_command(commands)
    prices.add_command(commands)
    ssh.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
