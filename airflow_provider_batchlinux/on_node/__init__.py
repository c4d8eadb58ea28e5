"""Programs that are sent to a node. They run there, with the Python and the shell of the node."""
