"""Read what people are shown of an account, with few requests, and never twice at the same time."""
