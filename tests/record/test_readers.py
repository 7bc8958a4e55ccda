"""Four processes read runs in a tight loop while one trains: none disturbs another."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "readers.py"


def test_no_write_is_refused_and_no_reader_fails_while_four_processes_poll():
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--polls", "400"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["polls"] == 400
    assert result["runs"] >= 1
    assert sum(result["statuses"].values()) == 100
    assert result["statuses"]["running"] > 0
