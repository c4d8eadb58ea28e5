"""
Operators: render parameters, do one piece of work in execute(), and return results.

Every Dag file imports these modules when it is parsed, again and again. So what only a running task
needs, azure above all, is imported by the functions that need it; the same holds for sensors and triggers.
"""
