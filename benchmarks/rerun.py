"""What a second run costs: `vitrine run` on the sample catalog into an empty store, and then again.

Both are whole processes, imports and Prefect's temporary server included. Prints one JSON object with --json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--again", type=int, default=3, help="how many second runs; their median counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        cold, first = timed_run(store)
        warm = sorted(timed_run(store)[0] for _ in range(args.again))
    figures = {
        "images": first["images_extracted"],
        "images_per_second": round(first["images_per_second"], 1),
        "cold_seconds": round(cold, 1),
        "warm_seconds": round(warm[len(warm) // 2], 1),
        "warm_over_cold": round(warm[len(warm) // 2] / cold, 3),
    }
    print(json.dumps(figures) if args.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def timed_run(store: str) -> tuple[float, dict]:
    """Seconds that the command took, and the run's metrics."""
    command = [str(Path(sys.executable).with_name("vitrine")), "run", "sample_catalog/catalog.csv", "--store", store]
    started = time.monotonic()
    done = subprocess.run([*command, "--label", "product_type", "--json"], cwd=ROOT, capture_output=True, check=True)
    return time.monotonic() - started, json.loads(done.stdout)


if __name__ == "__main__":
    main()
