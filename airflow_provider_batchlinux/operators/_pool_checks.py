"""What the create operator does with its pool beyond the core: the file of a body, risks, secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.exceptions import BatchLinuxError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.operator import BaseOperator

    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.pools.spec.definition import PoolDefinition

log = logging.getLogger(__name__)


def warn_of_risks(pool: PoolDefinition, settings: AccountSettings) -> None:
    """
    Log warnings about a pool.

    :raises ValueError: if it is open to the whole Internet, and the connection forbids that.
    """
    # Not imported with a Dag file: it is needed when a task runs.
    from airflow_provider_batchlinux.core.ssh_access import open_to_world

    for warning in pool.warnings():
        log.warning("%s It is sent to the service as it is.", warning)
    if (risk := open_to_world(pool.to_rest())) is not None:
        if settings.forbid_open_ssh:
            msg = f"{risk} forbid_open_ssh refuses that: list the networks that need access in ssh_from."
            raise ValueError(msg)
        log.warning("Pool %r: %s List the networks that need access in ssh_from.", pool.pool_id, risk)


def require_entra(pool: PoolDefinition, settings: AccountSettings) -> None:
    """
    Raise ValueError if the pool needs an Entra token, and the connection has an account key.

    The service would refuse the key with "authentication failed", whatever the property.
    """
    from airflow_provider_batchlinux.client.transport.account import AuthKind
    from airflow_provider_batchlinux.core.images.query import GivenImage, ImageQuery
    from airflow_provider_batchlinux.core.pools.validation.rules import entra_only
    from airflow_provider_batchlinux.core.pools.validation.schema import rest_name

    if settings.auth is not AuthKind.SHARED_KEY:
        return
    body = pool.to_rest()
    image = ImageQuery.parse(pool.image or "").subject
    if isinstance(image, GivenImage):
        body["virtualMachineConfiguration"]["imageReference"] = image.reference
    names = [pool.name_of(path) or rest_name(path) for path in entra_only(body)]
    if names:
        remedy = "the connection has an account key; give it an Entra identity (auth)."
        raise ValueError("\n".join(f"{name} needs a caller with an Entra token: {remedy}" for name in names))


def require_management(pool: PoolDefinition, settings: AccountSettings) -> bool:
    """
    Return whether a pool needs the management plane.

    :raises ValueError: if it does, and the connection cannot reach it.
    """
    given = [name for name in ("identities", "tags") if getattr(pool, name)]
    given += ["vm_size"] if isinstance(pool.vm_size, Mapping) else []
    gaps = settings.management_gaps() if given else []
    if gaps:
        verb = "needs" if len(given) == 1 else "need"
        lack = ", ".join(gaps)
        msg = f"{' and '.join(given)} {verb} the management plane, for which the connection lacks {lack}."
        raise ValueError(msg)
    return bool(given)


@contextmanager
def secrets_hidden(pool: PoolDefinition) -> Iterator[None]:
    """Mask a pool's secrets in the log, and remove them from errors in which the service repeats them."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_batchlinux.core.secrets import hide_in_error

    secrets = pool.secrets()
    for secret in secrets:
        mask_secret(secret)
    try:
        yield
    except BatchLinuxError as error:
        hide_in_error(error, secrets)
        raise


def read_body(
    operator: BaseOperator, body: str | Mapping[str, object] | None, context: Context
) -> Mapping[str, object] | None:
    """
    Return the REST body.

    A file is rendered here, and not with the other fields, so that Airflow stores no secret of it.

    :param operator: renders the file.
    :param body: the body, or the name of its file, which Airflow's template search path finds; ``None`` if
        the pool is given by parameters.
    :raises ValueError: if there is no such file, or it contains no body.
    """
    content = _file_content(operator, body, context) if isinstance(body, str) else body
    if body is None or isinstance(content, Mapping):
        return content
    msg = f"body{f'={body!r}' if isinstance(body, str) else ''} contains no mapping of properties."
    raise ValueError(msg)


def _file_content(operator: BaseOperator, name: str, context: Context) -> Any:
    import json

    import jinja2
    import yaml

    environment = operator.get_template_env()
    try:
        source = environment.loader.get_source(environment, name)[0] if environment.loader else ""
    except jinja2.TemplateNotFound:
        msg = f"body={name!r} is not found beside the Dag file or in its template_searchpath."
        raise ValueError(msg) from None
    text = operator.render_template(source, context, environment)
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        # The text of the error quotes the file, which may contain a secret.
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
        place = f" from line {line} on" if line is not None else ""
        msg = f"body={name!r} is not {'JSON' if name.endswith('.json') else 'YAML'}{place}."
        raise ValueError(msg) from None
