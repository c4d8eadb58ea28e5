"""Sum one day's flights by carrier: runs on a node, with nothing but Python's standard library."""

import csv
import json
import sys
from collections import defaultdict


def totals_by_carrier(lines):
    """Return, for each carrier, its flights, cancelled flights, miles flown and minutes late."""
    totals = defaultdict(lambda: {"flights": 0, "cancelled": 0, "miles": 0, "minutes_late": 0})
    for row in csv.DictReader(lines):
        carrier = totals[row["carrier"]]
        carrier["flights"] += 1
        if row["air_time"] in ("", "NA"):
            carrier["cancelled"] += 1
            continue
        carrier["miles"] += int(row["distance"])
        carrier["minutes_late"] += max(0, int(row["arr_delay"]))
    return totals


def main(source, target):
    """Read the CSV file, write the totals as JSON, and say what was done."""
    with open(source, newline="") as lines:
        totals = totals_by_carrier(lines)
    with open(target, "w") as out:
        json.dump(totals, out, sort_keys=True)
    flights = sum(carrier["flights"] for carrier in totals.values())
    print(f"{flights} flights of {len(totals)} carriers")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
