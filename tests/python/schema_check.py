"""Checks the JSON Schemas of configs and manifests with a validator that is not ours.

    python tests/python/schema_check.py [PROGRAM]

PROGRAM is `routesim-sweep`, in target/release when it is not given.
Every config and manifest of the repository must pass. Documents with one fault each must fail, and
so must the program on them; what the schema takes, the program takes. Needs jsonschema and Python
3.11 or later.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "release" / "routesim-sweep"

FLEET = "[cluster]\nnum_backends = 4\n"
# Text of a config, and whether it is one.
CONFIGS = [
    (FLEET, True),
    ("", False),
    ("[cluster]\ngpu_type = 'H100Sxm'", False),
    ("[cluster]\nnum_backend = 4", False),
    ("[cluster]\nnum_backends = 0", False),
    ("[cluster]\nnum_backends = '4'", False),
    (FLEET + "gpu_type = 'h100'\nasync_scheduling = false", True),
    (FLEET + "gpu_type = 'H100Smx'", False),
    (FLEET + "model = 'meta-llama/llama-3.1-8b-instruct'\nkv_dtype = 'fp8'", True),
    (FLEET + "model = 'deepseek-r1'\ntensor_parallel = 8\ngpu_type = 'H200'", True),
    (FLEET + "model = 'Mixtral-8x7B-Instruct-v0.1'\ntensor_parallel = 2", True),
    (FLEET + "model = 'Llama-3.1-9B'", False),
    (FLEET + "model = 'Llama-3x1-8B'", False),
    (FLEET + "kv_dtype = 'fp8'", False),
    (FLEET + "model = 'Qwen3-32B'\ntensor_parallel = 3", False),
    (FLEET + "[cluster.step_model]\nstep_ms = 3", True),
    (FLEET + "[cluster.step_model]\nstep_ms = -3", False),
    (FLEET + "[cluster.disaggregated]\nprefill_backends = 1", False),
    (FLEET + "[simulation]\nwarmup_s = 3\nwarmup_requests = 3", False),
    (FLEET + "[trace]\ndequantize = 3000\nformat = 'mooncake'", True),
    (FLEET + "[trace]\ndequantize = 'on'", False),
    (FLEET + "[slo]\nttft_p95_ms = 1\n'e2e_p99.9_ms' = 2\nqueue_wait_mean_ms = 3", True),
    (FLEET + "[slo]\nttft_p100_ms = 1\ntpot_p7_ms = 1", True),
    (FLEET + "[slo]\nttft_p101_ms = 1", False),
    (FLEET + "[slo]\ntbt_p95_ms = 1", True),
    (FLEET + "[slo]\nttft_ms = 1\ntpot_ms = 2\nattainment_ratio = 0.99", True),
    (FLEET + "[slo]\ntbt_ms = 1\nattainment_ratio = 0.99", False),
    (FLEET + "[slo]\nttft_ms = 1", False),
    (FLEET + "[slo]\nttft_p95_ms = 1\nattainment_ratio = 0.99", False),
    (FLEET + "[slo]\nttft_ms = 1\nattainment_ratio = 1.5", False),
    (FLEET + "[slo]\nttft_p95_ms = 0", False),
]

GRID = "schema = 1\nname = 'n'\n[grid]\nconfigs = ['c.toml']\nalgorithms = 'all'\n"
WORK = "[workload]\nduration_s = 60\n[workload.generator]\n"
# The same of manifests, with keys that the program has.
MANIFESTS = [
    (GRID + "rates = [1]\n" + WORK, True),
    (GRID + "rates = { start = 1, stop = 3, step = 1 }\nseeds = [1, 5]\n" + WORK, True),
    (GRID + "rates = { start = 1, stop = 3 }\n" + WORK, False),
    ("unset = ['run']\n" + GRID + "rates = [1]\n" + WORK, False),
    (GRID + "rates = { start = 1, stop = 3, stpe = 1 }\n" + WORK, False),
    (GRID + "rates = [0]\n" + WORK, False),
    (GRID + "rates = []\n" + WORK, False),
    (GRID + "rates = [1]\nseeds = 0\n" + WORK, False),
    (GRID.replace("'n'", "'a b'") + "rates = [1]\n" + WORK, False),
    (GRID.replace("= 1", "= 2") + "rates = [1]\n" + WORK, False),
    (GRID.replace("name = 'n'", "") + "rates = [1]\n" + WORK, False),
    (GRID.replace("'all'", "['least_kv']") + "rates = [1]\n" + WORK, True),
    (GRID.replace("'all'", "['least_vk']") + "rates = [1]\n" + WORK, False),
    (GRID.replace("'all'", "'least_kv'") + "rates = [1]\n" + WORK, False),
    (
        GRID.replace("'all'", "[{ name = 'prefix_aware', cache_weight = 0.5 }]")
        + "rates = [1]\n"
        + WORK,
        True,
    ),
    (
        GRID.replace("'all'", "[{ name = 'least_kv', cache_weight = 0.5 }]")
        + "rates = [1]\n"
        + WORK,
        False,
    ),
    (
        GRID.replace("'all'", "[{ name = 'prefix_aware', cache_weight = 1.5 }]")
        + "rates = [1]\n"
        + WORK,
        False,
    ),
    (GRID + "rates = [1]\naxes = { cluster.num_backends = [2, 4] }\n" + WORK, True),
    (GRID + "rates = [1]\naxes = { cluster.num_backends = [] }\n" + WORK, False),
    (GRID + "rates = [1]\naxes = { cluster.num_backends = { strat = 1 } }\n" + WORK, False),
    (GRID + "rates = { linspace = { start = 1, stop = 2, num = 1 } }\n" + WORK, False),
    (GRID + "rates = { logspace = { start = 1, stop = 8, num = 4 } }\n" + WORK, True),
    (GRID + "rates = [1, 2]\nconstraint = 'rate > 1'\nmax_cells = 90\n" + WORK, True),
    (GRID + "[derive]\nrate = '2 * cluster.num_backends'\n" + WORK, True),
    (GRID + "rates = [1]\n[set]\ncluster.num_backends = 3\n" + WORK, True),
    (GRID + "rates = [1]\n[run]\nretries = 11\n" + WORK, False),
    (GRID + "rates = [1]\n[output]\nhistograms = true\n" + WORK, True),
    (GRID + "rates = [1]\n", False),
    (GRID + "rates = [1]\n" + WORK + "lengths = 'constant'\nprompt_mean = 9\n", True),
    (GRID + "rates = [1]\n" + WORK + "lengths = 'constant'\nprompt_std = 9\n", False),
    (GRID + "rates = [1]\n" + WORK.replace("60", "60\nformat = 'otel'"), False),
    (GRID + "rates = [1]\n" + WORK.replace("60", "60\ntrace = 't.jsonl'"), False),
    (GRID + "rates = [1]\n" + WORK + "[slo]\nttft_p95_ms = 9\n", True),
]

EVERYTHING = """
schema = 1
name = "everything"
label = "{algorithm} on {cluster.num_backends}"
seed = 7
[set]
cluster.max_queue_depth = 64
"cluster.kv_block_size" = 32
[derive]
rate = "2 * cluster.num_backends"
workload.generator.num_prefixes = "cluster.num_backends"
[grids.small]
configs = ["c.toml"]
algorithms = "all"
rates = { logspace = { start = 1, stop = 64, num = 7 } }
seeds = 5
constraint = ["rate < 50", "cluster.num_backends > 2"]
exclude = [{ algorithm = "least_kv", rate = [1, 2] }]
include = [{ algorithm = "round_robin", rate = 99 }]
zip = [{ cluster.gpu_type = ["L40S", "H200"], "cluster.max_batch_size" = [64, 256] }]
max_cells = 1000
[grids.small.axes]
cluster.num_backends = [2, 4, 8]
"cluster.max_batch_tokens" = { start = 1024, stop = 4096, step = 1024, when = "rate > 2" }
traffic = { glob = "traces/*.jsonl", key = "workload.trace" }
share = { linspace = { start = 0.1, stop = 0.9, num = 9 }, labels = ["low", "high"] }
size = { values = [1, 2.5], round = true }
[grids.large]
configs = ["c.toml"]
algorithms = ["round_robin"]
rates = [100]
[workload]
duration_s = 60
[workload.generator]
[run]
on_failure = "continue"
max_failures = "5%"
retries = 1
max_events = 1_000_000
max_simulated_s = 3600
max_wall_s = 60
memory_mb = 4000
[output]
histograms = true
"""
# What of it, changed into what, is no manifest any more.
FAULTS = [
    ("[grids.small]", "[grid]"),
    ("schema = 1", "extends = 3"),
    ("max_queue_depth = 64", "max_queue_depth = 0"),
    ('num_prefixes = "cluster.num_backends"', "num_prefixes = 3"),
    ("num = 7", "num = 7.5"),
    ("stop = 64, num = 7", "stop = 64, nmu = 7"),
    ('labels = ["low", "high"]', 'lables = ["low", "high"]'),
    ("step = 1024, ", ""),
    ("values = [1, 2.5]", "values = []"),
    ("values = [1, 2.5]", 'values = [1, 2.5], glob = "*"'),
    ("cluster.num_backends = [2, 4, 8]", "cluster.num_backends = 2"),
    ('["L40S", "H200"]', '"L40S"'),
    ("rate = [1, 2] }]", "rate = [1, 2] }, 3]"),
    ('"5%"', '"5"'),
    ('"5%"', '"500%"'),
    ('"continue"', '"go"'),
    ("max_cells = 1000", "max_cells = 0"),
    ("[output]", "[outptu]"),
]


def check(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"schema_check: {what}")


def schema(which: str) -> jsonschema.Draft7Validator:
    printed = subprocess.run([PROGRAM, "schema", which], check=True, capture_output=True).stdout
    document = json.loads(printed)
    check("draft-07" in document["$schema"], f"the schema of a {which} names no draft 7")
    jsonschema.Draft7Validator.check_schema(document)
    return jsonschema.Draft7Validator(document)


def is_planned(folder: pathlib.Path, manifest: str) -> bool:
    path = folder / "m.toml"
    path.write_text(manifest)
    return subprocess.run([PROGRAM, "plan", path], capture_output=True).returncode == 0


def check_repository(configs, manifests) -> int:
    count = 0
    for validator, name in [(configs, "configs"), (manifests, "experiments")]:
        for path in sorted((ROOT / name).glob("*.toml")):
            faults = list(validator.iter_errors(tomllib.loads(path.read_text())))
            check(not faults, f"{path}: {faults}")
            count += 1
    check(count > 3, f"{count} files")
    return count


def check_first(configs, manifests, folder: pathlib.Path) -> None:
    """What `init` writes passes as it is, and with every key on."""
    path = folder / "first.toml"
    subprocess.run([PROGRAM, "init", path], check=True, capture_output=True)
    files = [(manifests, path), (configs, folder / "first.config.toml")]
    for validator, path in files:
        text = path.read_text()
        lines = text.splitlines()
        off = [i for i, line in enumerate(lines) if line[:1] == "#" and line[1:2] not in ("", " ")]
        check(len(off) > 3, f"{path} has {len(off)} keys that are off")
        faults = list(validator.iter_errors(tomllib.loads(text)))
        check(not faults, f"{path}: {faults}")
        on = "\n".join(line[1:] if i in off else line for i, line in enumerate(lines))
        document = tomllib.loads(on)
        # Of what excludes one another, one is left.
        if "workload" in document:
            del document["workload"]["generator"], document["workload"]["warmup_s"]
        faults = list(validator.iter_errors(document))
        check(not faults, f"{path}, all on: {faults}")


def check_verdicts(configs, manifests, folder: pathlib.Path) -> int:
    good = MANIFESTS[0][0]
    cases = [(configs, text, fine, good, text) for text, fine in CONFIGS]
    cases += [(manifests, text, fine, text, FLEET) for text, fine in MANIFESTS]
    for validator, text, fine, manifest, config in cases:
        (folder / "c.toml").write_text(config)
        check(validator.is_valid(tomllib.loads(text)) == fine, f"not valid == {fine}:\n{text}")
        check(is_planned(folder, manifest) == fine, f"not planned == {fine}:\n{text}")
    return len(cases)


def check_everything(manifests) -> int:
    faults = list(manifests.iter_errors(tomllib.loads(EVERYTHING)))
    check(not faults, f"everything: {[fault.message for fault in faults]}")
    for right, wrong in FAULTS:
        check(right in EVERYTHING, f"nothing to change: {right}")
        text = EVERYTHING.replace(right, wrong, 1)
        check(not manifests.is_valid(tomllib.loads(text)), f"valid with {wrong}")
    return len(FAULTS)


def main() -> None:
    configs, manifests = schema("config"), schema("manifest")
    files = check_repository(configs, manifests)
    with tempfile.TemporaryDirectory() as folder:
        check_first(configs, manifests, pathlib.Path(folder))
        verdicts = check_verdicts(configs, manifests, pathlib.Path(folder))
    faults = check_everything(manifests)
    print(f"schema_check: {files} files, {verdicts} verdicts, {faults} faults found")


if __name__ == "__main__":
    main()
