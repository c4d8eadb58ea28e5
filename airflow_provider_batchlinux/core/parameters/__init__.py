"""The parameters of operators: their kinds, and the reader that makes typed requests of them."""
