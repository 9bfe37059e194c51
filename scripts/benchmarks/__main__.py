"""Measure Cambista against what bounds it, on this machine, by turns; print the table and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.server import durable_postgres

from .figures import FIGURES, Bench, Row
from .report import table, write
from .surroundings import BenchFailed, ensure_venv


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), help="one figure; may be given more than once"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round each, a small memory figure; nothing is written"
    )
    parser.add_argument("--seconds", type=float, help="of each measured round (default 6, quick 2)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, help="of the memory figure (default 20000, quick 1000)")
    parser.add_argument("--output", type=Path, help="write the document there, whatever was measured")
    asked = parser.parse_args()
    names = asked.only or list(FIGURES)
    seconds = min(asked.seconds or (2 if asked.quick else 6), 120)
    rounds = 1 if asked.quick else max(1, min(asked.rounds, 20))
    rows: list[Row] = []
    failed: list[str] = []
    began, load = time.monotonic(), os.getloadavg()[0]
    nautilus = ensure_venv()
    with tempfile.TemporaryDirectory(prefix="cambista-bench-") as folder, durable_postgres() as server:
        bench = Bench(
            server,
            Path(folder),
            seconds,
            rounds,
            5_000 if asked.quick else 50_000,
            asked.orders or (1_000 if asked.quick else 20_000),
            nautilus,
        )
        for name in names:
            print(f"== {name}", flush=True)
            try:
                rows += FIGURES[name](bench)
            except (BenchFailed, AssertionError) as error:
                failed.append(f"{name}: {error}")
                print(f"   FAILED: {error}", flush=True)
    print(table(rows))
    taken = time.monotonic() - began
    if asked.output or (not asked.quick and not asked.only):
        where = ["--output", str(asked.output)]
        write(asked.output, rows, bench, failed, taken, load, [word for word in sys.argv[1:] if word not in where])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
