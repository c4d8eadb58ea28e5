"""What the failures of downloads, uploads and storage accounts mean, and what helps against them."""

from __future__ import annotations

from airflow_provider_batchlinux.core.snapshots import ServiceError

_DENIED = (
    "the SAS has expired, or is for another account, container or path, or allows too little; the identity "
    "has no role on the storage account; or the account's firewall does not let the pool's subnet in"
)

_REMEDIES = {
    "blobnotfound": "An input does not exist, or was deleted after the submission. Names of blobs are "
    "case-sensitive.",
    "blobaccessdenied": f"Storage refused the download of an input: {_DENIED}.",
    "resourcecontaineraccessdenied": f"Storage refused the list of an input's container: {_DENIED}; or "
    "there is no such container.",
    "blobdownloadtimedout": "The storage account did not answer in time: check that the pool's network "
    "reaches it.",
    "blobdownloadmiscerror": "The node could not download an input: check its URL, and that the pool's "
    "network resolves and reaches it.",
    "resourcedirectorycreatefailed": "The node could not create the directory of an input: check the path, "
    "and the space on its disk.",
    "resourcefilewritefailed": "The node could not write an input: check the path, and the space on its "
    "disk.",
    "fileuploadcontainernotfound": "The container of an output does not exist: create it first.",
    "fileuploadaccessdenied": f"Storage refused the upload of an output: {_DENIED}.",
    "fileuploadmiscerror": "An output could not be uploaded: see fileuploaderr.txt in the task's directory.",
    "containertasksettingsnotfound": "The pool has a container engine and runs commands in containers "
    "only: give container.",
    "containerpoolnotsupported": "The pool has no container engine: create it with "
    "containers=ContainerSpec().",
}


def explained_failure(failure: ServiceError) -> str:
    """Return the failure of a task, with its meaning where it is known."""
    remedy = _REMEDIES.get(failure.code.lower())
    return f"{failure}. {remedy}" if remedy else str(failure)


_ROLE = "Give the identity of the connection the role"

_ACCOUNT_REMEDIES = {
    "authenticationfailed": "Check the account's key, the SAS or the identity in the connection.",
    "authorizationfailure": "The account's firewall does not let this worker in, or access by key is "
    "disabled.",
    "authorizationpermissionmismatch": f"{_ROLE} Storage Blob Data Contributor, or give a SAS that allows "
    "more.",
    "keybasedauthenticationnotpermitted": "Access by key is disabled: use an Entra identity in the "
    "connection.",
    "containernotfound": "Create the container first.",
}


def account_remedy(code: str | None) -> str:
    """Return what helps against an error of a storage account; empty if that is not known."""
    return _ACCOUNT_REMEDIES.get((code or "").lower(), "")
