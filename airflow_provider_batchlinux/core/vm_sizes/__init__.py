"""VM sizes: names, capabilities, queries and prices."""
