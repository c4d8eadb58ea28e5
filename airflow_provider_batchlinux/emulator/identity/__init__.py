"""Authentication over TLS: certificates, a local Entra tenant, its tokens and roles."""
