"""Connection to credential to client, and the synchronous face of the client."""
