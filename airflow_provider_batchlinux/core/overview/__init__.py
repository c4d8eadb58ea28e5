"""What people are shown of an account: its pools, their nodes and users. See also ``plugins``."""
