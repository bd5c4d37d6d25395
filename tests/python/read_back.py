"""Reads a sweep's tables as a user would and fails on what would trip one up.

    python tests/python/read_back.py [RESULTS | --into FOLDER]

Without RESULTS it runs a small sweep first, into FOLDER or one that is removed at the end, with
everything that can be kept of its runs. Needs pandas, pyarrow and duckdb.
"""

import hashlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ("_ms", "_rps", "_tps", "_ratio", "_blocks", "_tokens", "_count", "_s", "_usd")
TABLES = ["runs", "cells", "cells_wide", "histograms", "batches"]
AXES = [
    "cell_id", "cell_label", "config", "algorithm", "algorithm_name", "algorithm_parameters",
    "rate_rps",
]
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
[output]
histograms = true
batch_means = true
requests = true
series_interval_s = 0.5
"""


def small_sweep(folder: pathlib.Path) -> pathlib.Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "read_back.toml"
    manifest.write_text(MANIFEST)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "routesim-sweep"
    out = folder / "results"
    subprocess.run([program, manifest, "--out", out], check=True, capture_output=True)
    config = ROOT / "configs" / "default.toml"
    for ending in ["csv", "parquet"]:
        series = ["--series", folder / f"series.{ending}", "--series-interval", "0.5"]
        one = [program.with_name("routesim"), "run", "-c", config, *series]
        subprocess.run(one, check=True, capture_output=True, cwd=ROOT)
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
    plain = {"run_id", *AXES, "seed", "draw", "status", "error", "latency_quantiles"}
    for column in runs.columns:
        check(column in plain or column.endswith(UNITS), f"no unit in the name {column}")
    total = runs["requests_count"]
    outcomes = [c for c in runs.columns if c.startswith(("finished_", "rejected_", "timed_out_"))]
    outcomes = [c for c in outcomes if c.endswith("_count")] + ["unserved_count"]
    ok = runs["status"] == "ok"
    check((runs.loc[ok, outcomes].sum(axis=1) == total[ok]).all(), "outcomes do not add up")
    return runs


def check_types(path: pathlib.Path) -> None:
    """Every column is of a type that all readers have, and unknown is null, not NaN."""
    table = pq.read_table(path)
    for name in table.column_names:
        column = table[name]
        kind = str(column.type)
        plain = {"large_string", "string", "string_view", "int64", "double", "bool", "null"}
        check(kind in plain, f"{path.name}: {name} is of type {kind}")
        if kind == "double":
            values = [value for value in column.to_pylist() if value is not None]
            check(all(map(math.isfinite, values)), f"{path.name}: NaN or Inf in {name}, not null")


def check_twins(results: pathlib.Path) -> list[str]:
    """A CSV says what its Parquet says, to the last bit."""
    there = [name for name in TABLES if (results / f"{name}.parquet").exists()]
    for name in there:
        check_types(results / f"{name}.parquet")
        ours = pd.read_parquet(results / f"{name}.parquet")
        csv = pd.read_csv(results / f"{name}.csv")
        check(list(ours.columns) == list(csv.columns), f"{name}: the CSV has other columns")
        check(len(ours) == len(csv), f"{name}: the CSV has other rows")
        for column in ours.columns:
            left, right = ours[column], csv[column]
            if left.dtype.kind in "fi":
                same = (left.isna() == right.isna()).all() and (left.dropna() == right.dropna()).all()
                check(bool(same), f"{name}: {column} differs in the CSV")
    return there


def check_duckdb(results: pathlib.Path, there: list[str], runs: pd.DataFrame) -> None:
    for name in there:
        path = results / f"{name}.parquet"
        kinds = {row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
        check(kinds <= {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"}, f"{name}: types {kinds}")
    path = results / "runs.parquet"
    count, nulls, mean = duckdb.sql(
        f"SELECT count(*), count(*) FILTER (error IS NULL), avg(ttft_mean_ms) FROM '{path}'"
    ).fetchall()[0]
    check(count == len(runs), "DuckDB counts other runs")
    check(nulls == runs["error"].isna().sum(), "DuckDB has other nulls than pandas")
    check(abs(mean / runs["ttft_mean_ms"].mean() - 1) < 1e-12, "DuckDB has another mean")
    keys = duckdb.sql(f"SELECT key, value FROM parquet_kv_metadata('{path}')").fetchall()
    check(b"routesim.columns_json" in dict(keys), "DuckDB sees no metadata")


def check_histograms(results: pathlib.Path, runs: pd.DataFrame) -> None:
    path = results / "histograms.parquet"
    bins = pd.read_parquet(path)
    sums = bins.groupby(["run_id", "metric"])["count"].sum().unstack()
    ok = runs[runs["status"] == "ok"].set_index("run_id").sort_index()
    for metric in ["ttft", "e2e", "queue_wait"]:
        check((sums[metric] == ok["measured_finished_count"]).all(), f"histograms of {metric}")
    # A pooled quantile, as docs/outputs.md shows it, lies among those of the runs.
    pooled = duckdb.sql(f"""
        WITH bins AS (SELECT cell_id, bin_lo_ms, bin_hi_ms, sum(count) AS n
          FROM '{path}' WHERE metric = 'ttft' GROUP BY ALL),
         ranked AS (SELECT *, sum(n) OVER (PARTITION BY cell_id ORDER BY bin_lo_ms) AS upto,
          sum(n) OVER (PARTITION BY cell_id) AS total FROM bins)
        SELECT cell_id, min((bin_lo_ms + bin_hi_ms) / 2) AS pooled_p99_ms
        FROM ranked WHERE upto >= 0.99 * total GROUP BY cell_id
    """).df().set_index("cell_id").sort_index()["pooled_p99_ms"]
    own = ok.groupby("cell_id")["ttft_max_ms"].max()
    check((pooled <= own * 1.004).all() and len(pooled) == len(own), "pooled quantiles")


def check_batches(results: pathlib.Path, runs: pd.DataFrame) -> None:
    batches = pd.read_parquet(results / "batches.parquet")
    check((batches["mean_ms"].isna() == (batches["count"] == 0)).all(), "means of empty batches")
    batches["sum"] = (batches["count"] * batches["mean_ms"]).fillna(0.0)
    own = batches.groupby(["run_id", "metric"])[["sum", "count"]].sum()
    means = (own["sum"] / own["count"]).unstack()
    ok = runs[runs["status"] == "ok"].set_index("run_id").sort_index()
    for metric in ["ttft", "tpot", "e2e", "queue_wait"]:
        # A mean of 0 has no relative error.
        error = (means[metric] - ok[f"{metric}_mean_ms"]).abs()
        check((error <= 1e-12 * ok[f"{metric}_mean_ms"] + 1e-15).all(), f"batches of {metric}")
    check((batches["first_request"] >= 0).all(), "a batch that begins before the run")


def check_requests(results: pathlib.Path, runs: pd.DataFrame) -> None:
    files = {path.stem: path for path in results.glob("requests/*/*/*.parquet")}
    for run in runs[runs["status"] == "ok"].itertuples():
        check(run.run_id in files, f"no requests of {run.run_id}")
        check_types(files[run.run_id])
        own = pd.read_parquet(files[run.run_id])
        check(len(own) == run.requests_count, "requests of a run")
        measured = own[own["measured"]]
        mean = measured["ttft_ms"].mean()
        check(abs(mean - run.ttft_mean_ms) <= 1e-9 * mean, "TTFT of requests and of the run")
        tokens = measured["prompt_tokens"].mean()
        check(abs(tokens / run.drawn_prompt_mean_tokens - 1) < 1e-12, "drawn prompts")
        gap_s = own["arrival_ms"].diff()[own["measured"]].mean() / 1e3
        check(abs(gap_s / run.drawn_interarrival_mean_s - 1) < 1e-9, "drawn gaps")


def check_series(results: pathlib.Path, runs: pd.DataFrame) -> None:
    files = {path.stem: path for path in results.glob("series/*/every_0.5_s/*/*.parquet")}
    requests = {path.stem: path for path in results.glob("requests/*/*/*.parquet")}
    for run in runs[runs["status"] == "ok"].itertuples():
        check(run.run_id in files, f"no series of {run.run_id}")
        path = files[run.run_id]
        check_types(path)
        own = pd.read_parquet(path)
        check_one_series(own, str(path))
        check((own["run_id"] == run.run_id).all() and (own["seed"] == run.seed).all(), "ids")
        if run.run_id not in requests:
            continue
        all_of_run = pd.read_parquet(requests[run.run_id])
        arrived_s = all_of_run["arrival_ms"] / 1e3
        ended_s = arrived_s + all_of_run["e2e_ms"] / 1e3
        for at, states in own.groupby("time_s"):
            there = ((arrived_s < at) & (ended_s >= at)).sum()
            check(states["outstanding_count"].sum() == there, f"outstanding at {at} s")


def check_one_series(own: pd.DataFrame, name: str) -> None:
    check(own["kv_usage_ratio"].between(0, 1).all(), f"{name}: KV usage beyond its bounds")
    sums = own["waiting_count"] + own["running_count"]
    check((own["outstanding_count"] == sums).all(), f"{name}: outstanding requests")
    times = own["time_s"].drop_duplicates().to_numpy()
    check(len(times) <= 2_000 and (times == 0.5 * np.arange(1, len(times) + 1)).all(), f"{name}: times")
    check(not own.duplicated(["time_s", "backend"]).any(), f"{name}: a backend twice at an instant")


def check_series_of_one_run(folder: pathlib.Path) -> None:
    ours, csv = pd.read_parquet(folder / "series.parquet"), pd.read_csv(folder / "series.csv")
    check_types(folder / "series.parquet")
    pd.testing.assert_frame_equal(ours, csv, check_exact=True)
    check_one_series(ours, "series.csv")


def check_cells(results: pathlib.Path, runs: pd.DataFrame) -> None:
    cells = pd.read_parquet(results / "cells.parquet")
    wide = pd.read_parquet(results / "cells_wide.parquet").set_index("cell_id")
    check(not cells.duplicated(["cell_id", "metric"]).any(), "a (cell, metric) twice")
    # The means of the tables are the means of the runs.
    for metric in ["ttft_p95_ms", "throughput_rps"]:
        ours = cells[cells["metric"] == metric].set_index("cell_id")["mean"]
        theirs = runs.groupby("cell_id")[metric].mean()
        check((ours - theirs).abs().max() <= 1e-9 * theirs.abs().max(), f"mean of {metric}")
        check((wide[f"{metric}_mean"] == ours[wide.index]).all(), f"wide mean of {metric}")
    known = cells.dropna(subset=["ci_lo"])
    inside = (known["ci_lo"] <= known["mean"]) & (known["mean"] <= known["ci_hi"])
    check(inside.all(), "a mean outside its interval")


def check_parts(results: pathlib.Path, runs: pd.DataFrame) -> None:
    parts = sorted(results.glob("parts/*/*.parquet"))
    for part in parts:
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        check(part.stem == digest[:32] and part.parent.name == digest[:2], f"the name of {part}")
    stored = pd.concat(pd.read_parquet(part, columns=["run_id"]) for part in parts)
    finished = set(runs.loc[runs["status"] == "ok", "run_id"])
    check(finished <= set(stored["run_id"]), "a finished run that is in no part")


def check_sidecars(results: pathlib.Path) -> None:
    provenance = json.loads((results / "provenance.json").read_text())
    check(provenance["schema"] == "routesim.provenance/1", "provenance schema")
    metadata = pq.ParquetFile(results / "runs.parquet").metadata.metadata
    check(metadata[b"routesim.schema_version"] == b"1", "schema version in the footer")
    units = json.loads(metadata[b"routesim.units_json"])
    check(units["ttft_p99_ms"] == "ms", "units in the footer")
    columns = json.loads(metadata[b"routesim.columns_json"])
    check(columns["goodput_rps"]["better"] == "higher", "which way is better")
    check(all(facts["description"] for facts in columns.values()), "a column without description")
    check(list(columns) == pq.read_schema(results / "runs.parquet").names, "columns in the footer")
    inputs = json.loads(metadata[b"routesim.inputs_json"])
    check(inputs == provenance["inputs"], "inputs")
    for key in [b"engine", b"version", b"manifest_sha256", b"stat_methods_json"]:
        check(b"routesim." + key in metadata, f"no {key} in the footer")
    manifest = (results / "manifest.toml").read_bytes()
    check(metadata[b"routesim.manifest_toml"] == manifest, "manifest in the footer")
    digest = hashlib.sha256(manifest).hexdigest().encode()
    check(metadata[b"routesim.manifest_sha256"] == digest, "hash of the manifest")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        match sys.argv[1:]:
            case []:
                results = small_sweep(pathlib.Path(folder))
            case ["--into", into]:
                results = small_sweep(pathlib.Path(into))
            case [given]:
                results = pathlib.Path(given)
            case _:
                sys.exit(__doc__)
        runs = check_runs(results)
        check_cells(results, runs)
        there = check_twins(results)
        check_duckdb(results, there, runs)
        if "histograms" in there:
            check_histograms(results, runs)
        if "batches" in there:
            check_batches(results, runs)
        if (results / "requests").exists():
            check_requests(results, runs)
        if (results / "series").exists():
            check_series(results, runs)
        if (results.parent / "series.csv").exists():
            check_series_of_one_run(results.parent)
        check_parts(results, runs)
        check_sidecars(results)
        versions = f"pandas {pd.__version__}, pyarrow {pa.__version__}, DuckDB {duckdb.__version__}"
        print(f"read_back: {len(runs)} runs and {', '.join(there)} read by {versions}")


if __name__ == "__main__":
    main()
