"""A command and its parts, as a Dag describes them."""
