"""A short run of the crash proof, so that it cannot rot; scripts/crash is the whole one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from .server import ROOT


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        ("sqlite", 2),
        pytest.param("postgres", 1, marks=pytest.mark.postgres),
    ],
)
def test_nothing_is_lost_or_doubled_by_kill_9(kind: str, times: int) -> None:
    done = subprocess.run(
        # the time to be ready is the proof's on a quiet machine; here others run beside it
        [
            sys.executable,
            "-m",
            "scripts._crash",
            "--database",
            kind,
            "--times",
            str(times),
            "--ready-seconds",
            "30",
            "--stop-seconds",
            "20",
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    accepted = re.search(r"(\d+) orders accepted", done.stdout)
    assert accepted is not None and int(accepted[1]) > 0, done.stdout
    assert f"{times} kills and one SIGTERM" in done.stdout
