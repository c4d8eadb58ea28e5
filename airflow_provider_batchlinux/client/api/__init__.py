"""The operations of the Batch service and its management plane."""
