"""Create, change, repair and delete pools."""
