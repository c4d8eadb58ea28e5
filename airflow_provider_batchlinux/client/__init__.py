"""The one async client of the Batch service; the only place that imports azure.*."""
