"""Pure decisions: what a pool, node, user or task means; imports only the standard library."""
