//! Reading traces: lines per second of one core, from a file to columns.
//!
//! `cargo bench --bench read` prints times, lines a second and the bytes that a request holds;
//! quote ratios of one session, for machines differ and are shared.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]
#![expect(clippy::print_stderr, reason = "memory is no time: criterion does not print it")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use routesim::trace::{Format, ReadOptions, read_trace};

const LINES: u64 = 100_000;

/// Writes rows of the compact format, each with the fields that `more` adds.
fn compact(name: &str, more: impl Fn(u64, &mut String)) -> PathBuf {
    let mut text = String::new();
    for row in 0..LINES {
        // Lengths and fractions of every width, the same in each run.
        let drawn = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let (prompt, output) = (512 + drawn % 3_000, 1 + drawn % 400);
        let (ms, fraction) = (row * 12, drawn % 1_000);
        write!(text, "{{\"ts\":{ms}.{fraction},\"prompt_tokens\":{prompt},\"gen_tokens\":{output}")
            .unwrap();
        more(drawn, &mut text);
        text.push_str("}\n");
    }
    let path =
        std::env::temp_dir().join(format!("routesim-read-{name}-{}.jsonl", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn reads(criterion: &mut Criterion) {
    let bare = compact("bare", |_, _| {});
    let prefix = compact("prefix", |drawn, text| {
        write!(text, ",\"prefix_hash\":\"p{}\",\"prefix_len\":256", drawn % 1_000).unwrap();
    });
    let session = compact("session", |drawn, text| {
        write!(text, ",\"session\":\"s{}\"", drawn % 30_000).unwrap();
    });
    let ids = compact("ids", |drawn, text| {
        let first = drawn % 5_000 * 8;
        write!(text, ",\"hash_ids\":[{first},{},{}],\"block_size\":128", first + 1, first + 2)
            .unwrap();
    });
    // A number with an exponent is the JSON parser's.
    let unusual =
        compact("unusual", |_, text| text.push_str(",\"prefix_len\":1e2,\"prefix_hash\":1"));
    let written = [bare, prefix, session, ids, unusual];
    let names = ["bare", "prefix", "session", "ids", "unusual"];
    for (name, path) in names.into_iter().zip(&written) {
        measure(criterion, &format!("compact/{name}"), path, Format::Compact);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake");
    let conversation = folder.join("conversation_trace.jsonl");
    measure(criterion, "mooncake/conversation", &conversation, Format::Mooncake);
    for path in &written {
        std::fs::remove_file(path).unwrap();
    }
}

fn measure(criterion: &mut Criterion, name: &str, path: &Path, format: Format) {
    let options = ReadOptions { format, block_size: None };
    let read = || read_trace(black_box(path), &options).unwrap().0;
    let trace = read();
    let bytes = trace.memory_bytes() as f64 / trace.len() as f64;
    eprintln!("{name}: {} lines, {bytes:.1} bytes a request", trace.len());
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(trace.len() as u64)).sample_size(10);
    group.bench_function(name, |bencher| bencher.iter(read));
    group.finish();
}

criterion_group!(benches, reads);
criterion_main!(benches);
