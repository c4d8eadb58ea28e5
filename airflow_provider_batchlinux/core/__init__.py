"""
Decide what the state of pools, nodes, users and tasks means, from snapshots and without input or output.

Private: names here may change in any release. Import from ``operators``, ``sensors``, ``triggers``,
``hooks``, ``specs`` and ``exceptions`` instead.
"""
