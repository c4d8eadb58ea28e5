"""One function for each operation of the service: takes a call, returns a reply, writes no HTTP."""
