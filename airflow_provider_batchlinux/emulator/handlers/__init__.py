"""One function for each operation of the API: it takes a call and returns a reply."""
