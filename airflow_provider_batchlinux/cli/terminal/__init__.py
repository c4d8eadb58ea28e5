"""What the commands share: the account, output, waits, files of nodes, ssh."""
