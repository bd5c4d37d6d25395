//! Config and trace, as the options name them.

use std::path::{Path, PathBuf};

use crate::scenario::Config;
use crate::trace::{ReadOptions, ReadReport, Trace, TraceError, read_trace, read_trace_sniffed};
use crate::workload::SourceTrace;

use super::args::InputArgs;
use super::error::CliError;
use super::output::remark;

/// Reads the trace of the options, or else of the config, and remarks on what was left out.
pub(super) fn load_trace(input: &InputArgs, config: &Config) -> Result<SourceTrace, CliError> {
    let path = trace_path(input, config)?;
    let (trace, report) = read(&path, input, config)?;
    remark_on(&path, &report);
    let source = SourceTrace::new(trace).named(name_of(&path));
    // Coarse clocks are a property of the file that the config speaks of.
    let of_config = input.trace.is_none() || config.trace.path.is_none();
    let source = if of_config { source.dequantize(config.trace.dequantize)? } else { source };
    Ok(source)
}

fn trace_path(input: &InputArgs, config: &Config) -> Result<PathBuf, CliError> {
    let path = input.trace.as_ref().or(config.trace.path.as_ref());
    path.cloned().ok_or_else(|| {
        let config = input.config.display();
        CliError::new(format!("no trace: neither --trace nor a `path` in [trace] of {config}"))
            .hint("`routesim gen-trace -o trace.jsonl` makes one, for `-t trace.jsonl`")
    })
}

fn read(
    path: &Path,
    input: &InputArgs,
    config: &Config,
) -> Result<(Trace, ReadReport), TraceError> {
    let own_path = input.trace.is_none();
    // A config with a path describes that file, one without describes the file it is given.
    let applies = own_path || config.trace.path.is_none();
    let format = config.trace.format.filter(|_| applies);
    let block_size = input.block_size.or(config.trace.block_size.filter(|_| applies));
    match format {
        Some(format) => read_trace(path, &ReadOptions { format, block_size }),
        None => read_trace_sniffed(path, block_size),
    }
}

/// Tells what was left out of a file and what its reader should know.
pub(super) fn remark_on(path: &Path, report: &ReadReport) {
    let path = name_of(path);
    for (reason, count) in &report.dropped {
        remark(&format!("note: {path}: {count} left out, {reason}"));
    }
    for note in &report.notes {
        remark(&format!("note: {path}: {note}"));
    }
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}
