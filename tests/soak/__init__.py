"""A whole Dag under random faults, for as many seeds as one has time for."""
