"""Blobs that commands read and write: their places, who may reach them for how long, and what fails."""
