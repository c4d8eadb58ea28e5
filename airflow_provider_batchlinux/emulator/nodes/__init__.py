"""Nodes: lifecycle, programs, files and SSH servers."""
