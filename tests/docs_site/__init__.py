"""The documentation site behind `make docs`: its reference, generated from the code, and its build."""
