"""Nodes: lifecycle, processes, files and SSH servers."""
