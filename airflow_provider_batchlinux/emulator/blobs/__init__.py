"""
A small blob store for the files of tasks: containers and block blobs, reached by SAS URLs, on loopback.

It speaks the part of the Azure Blob REST API that clients with a SAS URL use. It knows nothing of Batch.
"""

from __future__ import annotations
