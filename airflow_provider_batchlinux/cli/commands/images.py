"""``batchlinux images``: list the images that the service supports, and the one that a name selects."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_account_options, hook_and_settings
from airflow_provider_batchlinux.cli.terminal.output import add_json, print_list

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.images.catalog import SupportedImage

_HEADER = ("", "IMAGE", "NODE AGENT SKU", "VERIFIED", "GEN", "ARCH", "FEATURES", "END OF SUPPORT")


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "images",
        help="list the supported Linux images, and the one that a name selects",
        description="List the Linux images that the service supports. With NAME, list only those that match;"
        " the one that a pool would use is the first, marked with '*'.",
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="such as 'ubuntu 24.04' or 'publisher:offer:sku'"
    )
    parser.add_argument(
        "--all", action="store_true", help="include unverified images, and those past their end of support"
    )
    parser.add_argument("--vm-size", help="only images for this VM size, judged by its name")
    add_json(parser)
    add_account_options(parser)
    parser.set_defaults(command=_run)


def _run(options: Namespace) -> int:
    hook, settings = hook_and_settings(options)
    images = hook.run(lambda client: client.list_images(), settings=settings)
    now = datetime.now(timezone.utc)
    chosen, rows = None, _listed(images, now, with_all=options.all)
    if options.name:
        chosen, rows = _resolved(options, images, now)
    # Without a name, none is chosen, and the column of the mark is left out.
    first = 0 if options.name else 1
    return print_list(
        options,
        rows,
        _HEADER[first:],
        lambda image: _cells(image, is_chosen=image == chosen)[first:],
        _plain,
    )


def _listed(images: list[SupportedImage], now: datetime, *, with_all: bool) -> list[SupportedImage]:
    linux = [image for image in images if image.os_type == "linux"]
    if with_all:
        return linux
    verified = [image for image in linux if image.verified]
    return [image for image in verified if (end := image.end_of_support) is None or end > now]


def _resolved(
    options: Namespace, images: list[SupportedImage], now: datetime
) -> tuple[SupportedImage, list[SupportedImage]]:
    from airflow_provider_batchlinux.core.images.query import GivenImage, ImageQuery
    from airflow_provider_batchlinux.core.images.resolve import fitting_images
    from airflow_provider_batchlinux.core.vm_sizes.names import traits_of

    query = ImageQuery.parse(options.name)
    assert not isinstance(query.subject, GivenImage), "text never is a given image"
    traits = traits_of(options.vm_size or "")
    fitting = fitting_images(
        query,
        images,
        needed_until=now,
        generation=traits.generation,
        architecture=traits.architecture if options.vm_size else None,
        include_unverified=options.all,
    )
    return fitting[0], fitting


def _cells(image: SupportedImage, *, is_chosen: bool) -> tuple[str, ...]:
    end = image.end_of_support
    return (
        "*" if is_chosen else "",
        image.name,
        image.node_agent_sku,
        "yes" if image.verified else "no",
        str(image.generation),
        image.architecture,
        ",".join(sorted(image.features)) or "-",
        f"{end:%Y-%m-%d}" if end else "-",
    )


def _plain(image: SupportedImage) -> dict[str, Any]:
    end = image.end_of_support
    return {
        "publisher": image.publisher,
        "offer": image.offer,
        "sku": image.sku,
        "version": image.version,
        "node_agent_sku": image.node_agent_sku,
        "verified": image.verified,
        "generation": image.generation,
        "architecture": image.architecture,
        "capabilities": sorted(image.capabilities),
        "end_of_support": end.isoformat() if end else None,
    }
