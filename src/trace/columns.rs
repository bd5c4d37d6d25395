//! A workload's requests as columns, shared by all runs that meet them.

use crate::units::{RequestId, SimTime};

use super::chain::{Chain, ONE_LEVEL};

const NONE: u32 = u32::MAX;

/// Requests in the order of arrival, one column per field.
///
/// A column that would say "none" of every request is empty: 16 bytes a request are left where
/// there are no chains, sessions and models, 28 with prefixes of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    arrivals: Vec<SimTime>,
    prompts: Vec<u32>,
    outputs: Vec<u32>,
    /// Empty when no request has a session.
    sessions: Vec<u32>,
    /// Empty when no request names a model.
    models: Vec<u32>,
    model_names: Vec<String>,
    /// Empty when no request has a chain.
    chains: Chains,
    block_tokens: u32,
}

/// The chains of all requests: `ids[starts[r]..starts[r + 1]]` are those of request `r`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chains {
    starts: Vec<u32>,
    ids: Vec<u32>,
    shared_tokens: Vec<u32>,
}

/// One request to be added to a [`TraceBuilder`].
#[derive(Clone, Copy, Debug)]
pub struct NewRequest<'a> {
    /// When it reaches the router.
    pub arrival: SimTime,
    /// Prompt length in tokens, from 1.
    pub prompt_tokens: u32,
    /// Output length in tokens, from 1.
    pub output_tokens: u32,
    /// Dense block ids of the prompt, first block first; empty when nothing is shared.
    pub chain: &'a [u32],
    /// Leading tokens that `chain` describes.
    pub shared_tokens: u32,
    /// Dense number of its session, if it has one.
    pub session: Option<u32>,
    /// Dense number of its model, if it names one.
    pub model: Option<u32>,
}

/// Collects requests in any order.
#[derive(Debug)]
pub struct TraceBuilder(Trace);

impl TraceBuilder {
    /// Starts a trace whose chain ids stand for `block_tokens` tokens each ([`ONE_LEVEL`] for
    /// prefixes of any length), with these model names.
    ///
    /// # Panics
    ///
    /// When `block_tokens` is 0.
    pub fn new(block_tokens: u32, model_names: Vec<String>) -> Self {
        assert!(block_tokens > 0, "a block must hold a token");
        Self(Trace {
            arrivals: Vec::new(),
            prompts: Vec::new(),
            outputs: Vec::new(),
            sessions: Vec::new(),
            models: Vec::new(),
            model_names,
            chains: Chains::default(),
            block_tokens,
        })
    }

    /// Makes room for that many further requests, and no more.
    pub fn reserve(&mut self, requests: usize) {
        self.0.arrivals.reserve_exact(requests);
        self.reserve_timeless(requests);
    }

    /// Adds a request.
    ///
    /// # Panics
    ///
    /// When a length is 0, when prompt and output together exceed a `u32`, when the chain does
    /// not cover its shared tokens or covers more than the prompt: readers and generators must
    /// refuse such a request.
    pub fn push(&mut self, request: NewRequest<'_>) {
        self.push_timeless(request);
        self.0.arrivals.push(request.arrival);
    }

    /// Adds a request whose arrival follows by [`set_arrivals`](Self::set_arrivals).
    pub(super) fn push_timeless(&mut self, request: NewRequest<'_>) {
        let NewRequest { prompt_tokens, output_tokens, chain, shared_tokens, .. } = request;
        let fits = |id: &u32| *id < 1 << 31;
        assert!(chain.iter().all(fits), "chain ids leave the top bit free");
        assert!(prompt_tokens > 0 && output_tokens > 0, "a request of no tokens");
        assert!(prompt_tokens.checked_add(output_tokens).is_some(), "a request beyond u32 tokens");
        assert!(shared_tokens <= prompt_tokens, "a prefix longer than its prompt");
        let cover = chain.len() as u64 * u64::from(self.0.block_tokens);
        assert!(u64::from(shared_tokens) <= cover, "a chain shorter than what it shares");

        let trace = &mut self.0;
        push_optional(&mut trace.sessions, request.session, &trace.prompts);
        push_optional(&mut trace.models, request.model, &trace.prompts);
        trace.chains.push(chain, shared_tokens, &trace.prompts);
        trace.prompts.push(prompt_tokens);
        trace.outputs.push(output_tokens);
    }

    pub(super) fn reserve_timeless(&mut self, requests: usize) {
        self.0.prompts.reserve_exact(requests);
        self.0.outputs.reserve_exact(requests);
    }

    pub(super) fn set_arrivals(&mut self, arrivals: Vec<SimTime>) {
        assert_eq!(arrivals.len(), self.0.prompts.len(), "one arrival for each request");
        self.0.arrivals = arrivals;
    }

    /// Sets what the ids of the chains to come stand for.
    pub(super) fn set_block_tokens(&mut self, block_tokens: u32) {
        assert!(block_tokens > 0, "a block must hold a token");
        self.0.block_tokens = block_tokens;
    }

    pub(super) fn set_model_names(&mut self, names: Vec<String>) {
        self.0.model_names = names;
    }

    pub(super) fn has_sessions(&self) -> bool {
        !self.0.sessions.is_empty()
    }

    /// Gives each request its session, in the order in which they were added.
    pub(super) fn set_sessions(&mut self, sessions: impl Iterator<Item = Option<u32>>) {
        self.0.sessions = sessions.map(|session| session.unwrap_or(NONE)).collect();
    }

    /// Returns the ids of the `index`-th request that was added.
    pub(super) fn chain_of(&self, index: usize) -> &[u32] {
        self.0.chains.ids_of(index)
    }

    /// Returns the trace, sorted by arrival; requests of one instant keep their order.
    ///
    /// # Panics
    ///
    /// When there are more than a `u32` counts.
    pub fn finish(self) -> Trace {
        let mut trace = self.0;
        if !trace.arrivals.is_sorted() {
            trace.sort();
        }
        trace.shrink();
        trace
    }
}

impl Trace {
    /// Returns the number of requests.
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Returns whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Returns the ids of all requests, in the order of arrival.
    pub fn ids(&self) -> impl Iterator<Item = RequestId> + use<> {
        (0..self.len()).map(RequestId::at)
    }

    /// Returns when the request reaches the router.
    pub fn arrival(&self, id: RequestId) -> SimTime {
        self.arrivals[id.index()]
    }

    /// Returns the prompt length in tokens.
    pub fn prompt_tokens(&self, id: RequestId) -> u32 {
        self.prompts[id.index()]
    }

    /// Returns the output length in tokens: known to the engine, never to an algorithm.
    pub fn output_tokens(&self, id: RequestId) -> u32 {
        self.outputs[id.index()]
    }

    /// Returns the session, if the request has one.
    pub fn session(&self, id: RequestId) -> Option<u32> {
        optional(&self.sessions, id.index())
    }

    /// Returns the name of the model the request asks for, if it names one.
    pub fn model(&self, id: RequestId) -> Option<&str> {
        let model = optional(&self.models, id.index())?;
        self.model_names.get(model as usize).map(String::as_str)
    }

    /// Returns the names of all models that requests ask for.
    pub fn model_names(&self) -> &[String] {
        &self.model_names
    }

    /// Returns what the prompt shares.
    pub fn chain(&self, id: RequestId) -> Chain<'_> {
        let index = id.index();
        Chain {
            ids: self.chains.ids_of(index),
            block_tokens: self.block_tokens,
            shared_tokens: self.chains.shared_tokens.get(index).copied().unwrap_or(0),
        }
    }

    /// Returns the tokens that a chain id stands for, or [`ONE_LEVEL`].
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// Returns whether engine blocks of `block_size` tokens can be cut from the chains.
    pub fn blocks_fit(&self, block_size: u32) -> bool {
        self.chains.ids.is_empty() || Chain::blocks_fit(self.block_tokens, block_size)
    }

    /// Returns the time from the first arrival to the last, in seconds.
    pub fn span_s(&self) -> f64 {
        match (self.arrivals.first(), self.arrivals.last()) {
            (Some(first), Some(last)) => last.since(*first).as_secs(),
            _ => 0.0,
        }
    }

    /// Returns all fields of one request.
    pub fn request(&self, id: RequestId) -> NewRequest<'_> {
        let chain = self.chain(id);
        NewRequest {
            arrival: self.arrival(id),
            prompt_tokens: self.prompt_tokens(id),
            output_tokens: self.output_tokens(id),
            chain: chain.ids,
            shared_tokens: chain.shared_tokens,
            session: self.session(id),
            model: optional(&self.models, id.index()),
        }
    }

    /// Returns the bytes of memory that its columns hold, whether used or not.
    pub fn memory_bytes(&self) -> usize {
        let names: usize = self.model_names.iter().map(String::capacity).sum();
        held(&self.arrivals)
            + held(&self.prompts)
            + held(&self.outputs)
            + held(&self.sessions)
            + held(&self.models)
            + held(&self.model_names)
            + names
            + self.chains.memory_bytes()
    }

    /// Sorts by arrival, one column at a time; requests of one instant keep their order.
    fn sort(&mut self) {
        let count = u32::try_from(self.len()).expect("over 4 billion requests");
        let mut order: Vec<u32> = (0..count).collect();
        // The index breaks ties, which is the stable order without the memory of a stable sort.
        order.sort_unstable_by_key(|index| (self.arrivals[*index as usize], *index));
        gather(&mut self.arrivals, &order);
        gather(&mut self.prompts, &order);
        gather(&mut self.outputs, &order);
        gather(&mut self.sessions, &order);
        gather(&mut self.models, &order);
        self.chains.gather(&order);
    }

    fn shrink(&mut self) {
        self.arrivals.shrink_to_fit();
        self.prompts.shrink_to_fit();
        self.outputs.shrink_to_fit();
        self.sessions.shrink_to_fit();
        self.models.shrink_to_fit();
        self.model_names.shrink_to_fit();
        self.chains.shrink();
    }
}

impl Default for TraceBuilder {
    fn default() -> Self {
        Self::new(ONE_LEVEL, Vec::new())
    }
}

impl Chains {
    /// Adds the chain of the request that follows those of `before`.
    fn push(&mut self, ids: &[u32], shared_tokens: u32, before: &Vec<u32>) {
        if self.starts.is_empty() {
            if ids.is_empty() {
                return;
            }
            self.starts.reserve_exact(before.capacity() + 1);
            self.starts.resize(before.len() + 1, 0);
            self.shared_tokens.reserve_exact(before.capacity());
            self.shared_tokens.resize(before.len(), 0);
        }
        self.ids.extend_from_slice(ids);
        let end = u32::try_from(self.ids.len()).expect("over 4 billion chain ids");
        self.starts.push(end);
        self.shared_tokens.push(shared_tokens);
    }

    fn ids_of(&self, index: usize) -> &[u32] {
        match self.starts.get(index..index + 2) {
            Some(&[start, end]) => &self.ids[start as usize..end as usize],
            _ => &[],
        }
    }

    fn gather(&mut self, order: &[u32]) {
        if self.starts.is_empty() {
            return;
        }
        let mut ids = Vec::with_capacity(self.ids.len());
        let mut starts = Vec::with_capacity(self.starts.len());
        starts.push(0);
        for index in order {
            ids.extend_from_slice(self.ids_of(*index as usize));
            starts.push(u32::try_from(ids.len()).expect("as many ids as before"));
        }
        self.ids = ids;
        self.starts = starts;
        gather(&mut self.shared_tokens, order);
    }

    fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.shared_tokens.shrink_to_fit();
    }

    fn memory_bytes(&self) -> usize {
        held(&self.starts) + held(&self.ids) + held(&self.shared_tokens)
    }
}

/// Adds a value to a column that is empty as long as it would say "none" of all of `before`.
fn push_optional(column: &mut Vec<u32>, value: Option<u32>, before: &Vec<u32>) {
    if column.is_empty() {
        if value.is_none() {
            return;
        }
        column.reserve_exact(before.capacity());
        column.resize(before.len(), NONE);
    }
    column.push(value.unwrap_or(NONE));
}

fn optional(column: &[u32], index: usize) -> Option<u32> {
    column.get(index).copied().filter(|value| *value != NONE)
}

/// Puts a column in that order of its places; an absent one stays absent.
fn gather<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
    if !column.is_empty() {
        *column = order.iter().map(|index| column[*index as usize]).collect();
    }
}

fn held<T>(column: &Vec<T>) -> usize {
    column.capacity() * size_of::<T>()
}

#[cfg(test)]
mod tests;
