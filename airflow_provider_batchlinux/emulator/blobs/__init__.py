"""
A small blob store on loopback for the files of tasks: containers and block blobs with SAS URLs.

It implements the part of the Azure Blob REST API that clients with a SAS URL use.
"""

from __future__ import annotations
