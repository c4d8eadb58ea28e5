"""User delegation keys, with which identities of Entra sign SAS tokens."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from xml.etree import ElementTree

from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError
from airflow_provider_batchlinux.emulator.protocol.auth import sign
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant

# Documented: a user delegation key is valid for at most seven days.
_LONGEST = timedelta(days=7)
_TAGS = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion")


@dataclass(frozen=True)
class DelegationKey:
    """
    A user delegation key, without its value.

    :param object_id: the identity that asked for it.
    :param start: its first and last instant as text, as they are signed; ``expiry`` likewise.
    :param version: version of the API that it was asked with.
    """

    object_id: str
    tenant_id: str
    start: str
    expiry: str
    service: str
    version: str

    def value(self, account_key: str) -> str:
        """Return the value, which follows from the account's key, so that no key has to be kept."""
        return sign(account_key, "\n".join(("user delegation key", *astuple(self))))

    def document(self, account_key: str) -> bytes:
        """Return the key as the answer to the request for it."""
        root = ElementTree.Element("UserDelegationKey")
        for tag, text in zip((*_TAGS, "Value"), (*astuple(self), self.value(account_key)), strict=True):
            ElementTree.SubElement(root, tag).text = text
        document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        return document


def read_key_times(body: bytes, now: datetime) -> tuple[str, str]:
    """
    Return start and expiry of a key that is asked for.

    Documented: it ends within seven days from now. The code for other times is assumed.

    :raises BlobError: 400, the body is not such a document, or a time is missing or out of range.
    """
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise BlobError(BlobCode.INVALID_XML_DOCUMENT) from None
    if root.tag != "KeyInfo":
        raise BlobError(BlobCode.INVALID_XML_DOCUMENT)
    times = {name: root.findtext(name, "") for name in ("Start", "Expiry")}
    for name, text in times.items():
        try:
            parse_instant(text)
        except ValueError:
            raise BlobError(BlobCode.INVALID_XML_NODE_VALUE, XmlNodeName=name, XmlNodeValue=text) from None
    start, expiry = map(parse_instant, times.values())
    if not max(start, now) < expiry <= now + _LONGEST:
        raise BlobError(BlobCode.INVALID_XML_NODE_VALUE, XmlNodeName="Expiry", XmlNodeValue=times["Expiry"])
    return times["Start"], times["Expiry"]
