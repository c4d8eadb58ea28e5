"""The REST protocol: bodies, errors, filters, conditions, versions and signatures."""
