"""What a pool must have for a command."""

from __future__ import annotations

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient


async def require_engine(client: BatchLinuxClient, pool_id: str, image: str) -> None:
    """
    Raise ValueError if the nodes of a pool have no container engine.

    The service would take the command, wait for a node, and fail it there. A pool that does not exist is left
    to the service, which says so immediately.

    :param image: the container image to run, for the message.
    """
    pool = await client.find_pool_body(pool_id, ["id", "virtualMachineConfiguration"])
    if pool is None or (pool.get("virtualMachineConfiguration") or {}).get("containerConfiguration"):
        return
    msg = (
        f"Pool {pool_id!r} has no container engine, which container={image!r} needs. Create it with "
        "containers=ContainerSpec() and an image that contains an engine, such as 'ubuntu-hpc 24.04'; "
        "the engine of an existing pool cannot be added."
    )
    raise ValueError(msg)
