"""Users on compute nodes: plans, ledger, leases, keys and passwords."""
