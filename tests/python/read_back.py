"""Reads a sweep's tables as a user would and fails on what would trip one up.

    python tests/python/read_back.py [RESULTS]

Without RESULTS it runs a small sweep first. Needs pandas and pyarrow.
"""

import hashlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import pandas as pd
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ("_ms", "_rps", "_tps", "_ratio", "_blocks", "_count", "_s", "_usd")
AXES = ["cell_id", "config", "algorithm", "algorithm_name", "algorithm_parameters", "rate_rps"]
MANIFEST = f"""
schema = 1
name = "read_back"
[grid]
configs = ["{ROOT}/configs/default.toml"]
algorithms = ["round_robin", {{ name = "prefix_aware", cache_weight = 0.7 }}]
rates = [5, 10]
seeds = 3
[workload]
duration_s = 20
warmup_s = 5
[workload.generator]
[slo]
ttft_p95_ms = 500
"""


def small_sweep(folder: pathlib.Path) -> pathlib.Path:
    manifest = folder / "read_back.toml"
    manifest.write_text(MANIFEST)
    program = ROOT / "target" / "release" / "routesim-sweep"
    out = folder / "results"
    subprocess.run([program, manifest, "--out", out], check=True, capture_output=True)
    return out


def check(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"read_back: {what}")


def check_runs(results: pathlib.Path) -> pd.DataFrame:
    runs = pd.read_parquet(results / "runs.parquet")
    for axis in ["run_id", *AXES, "seed", "status", "error"]:
        check(axis in runs.columns, f"runs has no column {axis}")
    floats = runs.select_dtypes("float")
    check(not floats.map(math.isinf).any().any(), "an infinite value in runs")
    check(runs["run_id"].is_unique, "two runs with one id")
    plain = {"run_id", *AXES, "seed", "status", "error", "latency_quantiles"}
    for column in runs.columns:
        check(column in plain or column.endswith(UNITS), f"no unit in the name {column}")
    table = pq.read_table(results / "runs.parquet")
    for name in table.column_names:
        column = table[name]
        check("uint" not in str(column.type) and "duration" not in str(column.type), name)
        if str(column.type) == "double":
            values = [value for value in column.to_pylist() if value is not None]
            check(not any(math.isnan(value) for value in values), f"NaN in {name}, not null")
    total = runs["requests_count"]
    outcomes = [c for c in runs.columns if c.startswith(("finished_", "rejected_", "timed_out_"))]
    outcomes = [c for c in outcomes if c.endswith("_count")] + ["unserved_count"]
    ok = runs["status"] == "ok"
    check((runs.loc[ok, outcomes].sum(axis=1) == total[ok]).all(), "outcomes do not add up")
    return runs


def check_cells(results: pathlib.Path, runs: pd.DataFrame) -> None:
    cells = pd.read_parquet(results / "cells.parquet")
    csv = pd.read_csv(results / "cells.csv")
    check(list(cells.columns) == list(csv.columns), "cells.csv and cells.parquet differ in columns")
    check(len(cells) == len(csv), "cells.csv and cells.parquet differ in rows")
    check(not cells.duplicated(["cell_id", "metric"]).any(), "a (cell, metric) twice")
    # The means of the tables are the means of the runs.
    for metric in ["ttft_p95_ms", "throughput_rps"]:
        ours = cells[cells["metric"] == metric].set_index("cell_id")["mean"]
        theirs = runs.groupby("cell_id")[metric].mean()
        check((ours - theirs).abs().max() <= 1e-9 * theirs.abs().max(), f"mean of {metric}")
    known = cells.dropna(subset=["ci_lo"])
    inside = (known["ci_lo"] <= known["mean"]) & (known["mean"] <= known["ci_hi"])
    check(inside.all(), "a mean outside its interval")


def check_parts(results: pathlib.Path, runs: pd.DataFrame) -> None:
    parts = sorted(results.glob("parts/*/*.parquet"))
    for part in parts:
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        check(part.stem == digest[:32] and part.parent.name == digest[:2], f"the name of {part}")
    stored = pd.concat(pd.read_parquet(part) for part in parts)
    finished = set(runs.loc[runs["status"] == "ok", "run_id"])
    check(finished <= set(stored["run_id"]), "a finished run that is in no part")


def check_sidecars(results: pathlib.Path) -> None:
    provenance = json.loads((results / "provenance.json").read_text())
    check(provenance["schema"] == "routesim.provenance/1", "provenance schema")
    metadata = pq.ParquetFile(results / "runs.parquet").metadata.metadata
    check(metadata[b"routesim.schema_version"] == b"1", "schema version in the footer")
    units = json.loads(metadata[b"routesim.units_json"])
    check(units["ttft_p99_ms"] == "ms", "units in the footer")
    manifest = (results / "manifest.toml").read_bytes()
    check(metadata[b"routesim.manifest_toml"] == manifest, "manifest in the footer")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        given = sys.argv[1] if len(sys.argv) > 1 else None
        results = pathlib.Path(given) if given else small_sweep(pathlib.Path(folder))
        runs = check_runs(results)
        check_cells(results, runs)
        check_parts(results, runs)
        check_sidecars(results)
        print(f"read_back: {len(runs)} runs of {results.name} read by pandas {pd.__version__}")


if __name__ == "__main__":
    main()
