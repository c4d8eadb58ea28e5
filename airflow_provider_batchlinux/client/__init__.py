"""
The asynchronous client of the Batch service; the only package that imports ``azure.*``.

Private: names here may change in any release. Import from ``operators``, ``sensors``, ``triggers``,
``hooks``, ``specs`` and ``exceptions`` instead.
"""
