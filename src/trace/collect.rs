//! Where the requests of a file go: rows, to be written again, or the columns of a trace.

use std::borrow::Cow;

use crate::units::{LONGEST, PS_PER_NS, SimTime};

use super::columns::{NewRequest, Trace, TraceBuilder};
use super::lines::Line;
use super::numbers::Numbers;
use super::row::{Row, RowFault};
use super::sessions::{Inference, infer};

/// Takes the requests of a file, in its order.
pub(super) trait Collect {
    /// Adds a request, whose ids stand for `block_tokens` tokens each.
    fn add(&mut self, line: &mut Line<'_>, block_tokens: Option<u32>);

    /// Gives requests sessions as [`infer_sessions`](super::infer_sessions) says.
    fn infer_sessions(&mut self) -> usize;
}

/// The columns of a trace in the making, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Columns {
    arrivals_ns: Vec<i64>,
    /// All but the arrivals, which are rebased when the earliest is known.
    builder: TraceBuilder,
    ids: Numbers<u64>,
    prefixes: Numbers<Box<str>>,
    sessions: Numbers<Box<str>>,
    models: Numbers<Box<str>>,
    model_names: Vec<String>,
    chain: Vec<u32>,
    chained: bool,
    one_level: bool,
    without_size: bool,
}

impl Collect for Columns {
    fn add(&mut self, line: &mut Line<'_>, block_tokens: Option<u32>) {
        self.arrivals_ns.push(line.arrival_ns);
        self.chained |= !line.hash_ids.is_empty();
        self.one_level |= line.hash_ids.is_empty() && line.prefix_len.is_some();
        self.without_size |= !line.hash_ids.is_empty() && block_tokens.is_none();
        // Such rows are no trace: they are only counted, as a fault of a later line comes first.
        if self.chained && (self.one_level || self.without_size) {
            return;
        }
        let shared_tokens = self.share(line, block_tokens);
        let session = line.session.as_deref().map(|session| self.sessions.of_name(session));
        let model = line.model.as_deref().map(|model| self.model(model));
        self.builder.push_timeless(NewRequest {
            arrival: SimTime::ZERO,
            prompt_tokens: line.prompt_tokens,
            output_tokens: line.gen_tokens,
            chain: &self.chain,
            shared_tokens,
            session,
            model,
        });
    }

    fn infer_sessions(&mut self) -> usize {
        if self.builder.has_sessions() || !self.chained {
            return 0;
        }
        let mut order: Vec<u32> = (0..).take(self.arrivals_ns.len()).collect();
        order.sort_by_key(|index| self.arrivals_ns[*index as usize]);
        let mut inference = Inference::default();
        let mut sessions = vec![None; order.len()];
        for index in order {
            let index = index as usize;
            sessions[index] = inference.session(self.builder.chain_of(index));
        }
        // Sessions are numbered by their first row in the file, as named ones are.
        let mut numbers = Numbers::default();
        let in_file = sessions.into_iter().map(|session| Some(numbers.of(session?)));
        self.builder.set_sessions(in_file);
        inference.sessions()
    }
}

impl Columns {
    pub(super) fn reserve(&mut self, requests: usize) {
        self.arrivals_ns.reserve_exact(requests);
        self.builder.reserve_timeless(requests);
    }

    /// Returns the trace, sorted by arrival and rebased to the earliest.
    pub(super) fn finish(self) -> Result<Trace, RowFault> {
        let Some(&first) = self.arrivals_ns.iter().min() else {
            return Err(RowFault::new("no requests").hint("an empty trace has nothing to simulate"));
        };
        if self.chained && self.one_level {
            let message = "some rows have `hash_ids` and others only `prefix_hash`";
            return Err(RowFault::new(message).hint("a trace uses one of the two throughout"));
        }
        if self.without_size {
            return Err(RowFault::new("`hash_ids` without a block size")
                .hint("say how many tokens an id stands for (--block-size)"));
        }
        // The same memory serves before and after: both columns have 8 bytes a request.
        let arrivals: Result<Vec<SimTime>, RowFault> =
            self.arrivals_ns.into_iter().map(|arrival_ns| rebase(arrival_ns, first)).collect();
        let mut builder = self.builder;
        builder.set_arrivals(arrivals?);
        builder.set_model_names(self.model_names);
        Ok(builder.finish())
    }

    /// Sets `chain` to what the prompt shares, and returns how many tokens that are.
    fn share(&mut self, line: &Line<'_>, block_tokens: Option<u32>) -> u32 {
        self.chain.clear();
        if let Some(block_tokens) = block_tokens.filter(|_| !line.hash_ids.is_empty()) {
            self.builder.set_block_tokens(block_tokens);
            self.chain.extend(line.hash_ids.iter().map(|id| self.ids.of(*id)));
            let covered = self.chain.len() as u64 * u64::from(block_tokens);
            return u32::try_from(covered).unwrap_or(u32::MAX).min(line.prompt_tokens);
        }
        let (Some(hash), Some(len)) = (&line.prefix_hash, line.prefix_len) else {
            return 0;
        };
        self.chain.push(self.prefixes.of_name(hash));
        len.min(line.prompt_tokens)
    }

    fn model(&mut self, name: &str) -> u32 {
        let number = self.models.of_name(name);
        if number as usize == self.model_names.len() {
            self.model_names.push(name.to_owned());
        }
        number
    }
}

impl Collect for Vec<Row> {
    fn add(&mut self, line: &mut Line<'_>, _block_tokens: Option<u32>) {
        let owned = |name: &mut Option<Cow<'_, str>>| name.take().map(Cow::into_owned);
        self.push(Row {
            arrival_ns: line.arrival_ns,
            prompt_tokens: line.prompt_tokens,
            gen_tokens: line.gen_tokens,
            prefix_hash: owned(&mut line.prefix_hash),
            prefix_len: line.prefix_len,
            hash_ids: std::mem::take(&mut line.hash_ids),
            session: owned(&mut line.session),
            model: owned(&mut line.model),
        });
    }

    fn infer_sessions(&mut self) -> usize {
        infer(self)
    }
}

impl From<Row> for Line<'_> {
    fn from(row: Row) -> Self {
        Self {
            arrival_ns: row.arrival_ns,
            prompt_tokens: row.prompt_tokens,
            gen_tokens: row.gen_tokens,
            prefix_hash: row.prefix_hash.map(Cow::Owned),
            prefix_len: row.prefix_len,
            hash_ids: row.hash_ids,
            session: row.session.map(Cow::Owned),
            model: row.model.map(Cow::Owned),
            ..Self::default()
        }
    }
}

/// Returns the time of a row from the first, in whole picoseconds.
fn rebase(arrival_ns: i64, first_ns: i64) -> Result<SimTime, RowFault> {
    let longest = LONGEST.as_ps() / PS_PER_NS;
    let ns = arrival_ns.abs_diff(first_ns);
    if ns > longest {
        let days = ns / 86_400_000_000_000;
        return Err(RowFault::new(format!("the rows span {days} days, more than the clock's 100"))
            .hint("times are in milliseconds; cut the trace, or check the unit"));
    }
    Ok(SimTime::from_ps(ns * PS_PER_NS))
}

#[cfg(test)]
mod tests;
