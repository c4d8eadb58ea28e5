"""What a pool is to the rest of the provider, however the user has defined it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.images.resolve import ResolvedImage
    from airflow_provider_batchlinux.core.parameters.spec import Path


class PoolDefinition(Protocol):
    """A pool as the user defines it: by parameters (``PoolSpec``), or by a REST body (``RawPool``)."""

    @property
    def pool_id(self) -> str:
        """The pool's id."""

    @property
    def image(self) -> str | Mapping[str, Any] | None:
        """The image as the user wrote it; ``None`` without one."""

    @property
    def vm_size(self) -> str | Sequence[str] | Mapping[str, Any]:
        """The VM size, the sizes in order of preference, or what a size must have."""

    @property
    def identities(self) -> Sequence[str]:
        """The ARM ids of managed identities of the nodes."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Azure's tags of the pool."""

    @property
    def generation(self) -> int | None:
        """The Hyper-V generation that the image must have; ``None`` for any."""

    @property
    def subnet_id(self) -> str | None:
        """The ARM id of the subnet of the nodes; ``None`` without one."""

    def problems(self) -> list[str]:
        """List what is wrong with the pool."""

    def warnings(self) -> list[str]:
        """List the unknown properties and values, which are sent as they are."""

    def fingerprint(self) -> str:
        """Return a digest of what is requested."""

    def secrets(self) -> set[str]:
        """Return the passwords, keys and URLs to mask."""

    def name_of(self, path: Path) -> str | None:
        """Return the user's name of a place in the REST body."""

    def to_rest(self, image: ResolvedImage | None = None, *, vm_size: str | None = None) -> dict[str, Any]:
        """Return the body that creates the pool, with a resolved image and the selected size."""
