"""Task groups: what several operators do together, as one block of a Dag."""
