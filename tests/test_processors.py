"""Every family trains on a processor without AVX-512, without a compiler, and on one thread."""

import json
import os
import subprocess
import sys

LIMITED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OMP_NUM_THREADS": "1",
    "CC": "/missing/cc",
    "CXX": "/missing/c++",
}
RUNS = """
import json, sys
from pathlib import Path
from pellucid import runner
from pellucid.runner.families import FAMILIES, small_problem
from pellucid.train import autotune
autotune.COMPILING = (0.0, 0.0)  # so that compiling is tried
found = {}
for name in FAMILIES:
    config, dataset = small_problem(name, Path(sys.argv[1]))
    run = runner.train(config, runs=Path(sys.argv[1]) / "runs", dataset=dataset)
    found[name] = {"status": run.status, "why": str(run.facts["choices"])}
print(json.dumps(found))
"""


def limited(tmp_path, *command):
    environment = os.environ | LIMITED | {"PELLUCID_CACHE": str(tmp_path / "cache"), "PELLUCID_MIRROR": ""}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "programs")
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=tmp_path, capture_output=True, text=True
    )


def test_a_whole_run_of_every_family(tmp_path):
    done = limited(tmp_path, "-c", RUNS, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 13
    assert {one["status"] for one in found.values()} == {"finished"}
    assert "compiling failed" in found["mlp"]["why"]


def test_the_doctor_says_what_is_left_out(tmp_path):
    done = limited(tmp_path, "-m", "pellucid", "doctor")
    assert done.returncode == 0, done.stdout
    families, compiling = (
        next(line for line in done.stdout.splitlines() if f"  {name}  " in line.replace("ok", "  "))
        for name in ("families", "compiling")
    )
    assert "eager" in families
    assert "are not compiled" in compiling
