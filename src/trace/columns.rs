//! A workload's requests as columns, shared by all runs that meet them.

use crate::units::{RequestId, SimTime};

use super::chain::{Chain, ONE_LEVEL};

const NONE: u32 = u32::MAX;

/// Requests in the order of arrival, one column per field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    arrivals: Vec<SimTime>,
    prompts: Vec<u32>,
    outputs: Vec<u32>,
    sessions: Vec<u32>,
    models: Vec<u32>,
    model_names: Vec<String>,
    /// Request `r` has the ids `chain_ids[chain_starts[r]..chain_starts[r + 1]]`.
    chain_starts: Vec<u32>,
    chain_ids: Vec<u32>,
    shared_tokens: Vec<u32>,
    block_tokens: u32,
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
            chain_starts: vec![0],
            chain_ids: Vec::new(),
            shared_tokens: Vec::new(),
            block_tokens,
        })
    }

    /// Adds a request.
    ///
    /// # Panics
    ///
    /// When a length is 0, when prompt and output together exceed a `u32`, when the chain does
    /// not cover its shared tokens or covers more than the prompt: readers and generators must
    /// refuse such a request.
    pub fn push(&mut self, request: NewRequest<'_>) {
        let fits = |id: &u32| *id < 1 << 31;
        assert!(request.chain.iter().all(fits), "chain ids leave the top bit free");
        let NewRequest { arrival, prompt_tokens, output_tokens, .. } = request;
        assert!(prompt_tokens > 0 && output_tokens > 0, "a request of no tokens");
        assert!(prompt_tokens.checked_add(output_tokens).is_some(), "a request beyond u32 tokens");
        let NewRequest { chain, shared_tokens, session, model, .. } = request;
        assert!(shared_tokens <= prompt_tokens, "a prefix longer than its prompt");
        let cover = chain.len() as u64 * u64::from(self.0.block_tokens);
        assert!(u64::from(shared_tokens) <= cover, "a chain shorter than what it shares");

        let trace = &mut self.0;
        trace.arrivals.push(arrival);
        trace.prompts.push(prompt_tokens);
        trace.outputs.push(output_tokens);
        trace.sessions.push(session.unwrap_or(NONE));
        trace.models.push(model.unwrap_or(NONE));
        trace.chain_ids.extend_from_slice(chain);
        let end = u32::try_from(trace.chain_ids.len()).expect("over 4 billion chain ids");
        trace.chain_starts.push(end);
        trace.shared_tokens.push(shared_tokens);
    }

    /// Returns the trace, sorted by arrival; requests of one instant keep their order.
    pub fn finish(self) -> Trace {
        let trace = self.0;
        if trace.arrivals.is_sorted() {
            return trace;
        }
        let mut order: Vec<usize> = (0..trace.len()).collect();
        order.sort_by_key(|&index| trace.arrivals[index]);
        let mut sorted = Self::new(trace.block_tokens, trace.model_names.clone());
        for index in order {
            sorted.push(trace.request(RequestId::at(index)));
        }
        sorted.0
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
        Some(self.sessions[id.index()]).filter(|session| *session != NONE)
    }

    /// Returns the name of the model the request asks for, if it names one.
    pub fn model(&self, id: RequestId) -> Option<&str> {
        self.model_names.get(self.models[id.index()] as usize).map(String::as_str)
    }

    /// Returns the names of all models that requests ask for.
    pub fn model_names(&self) -> &[String] {
        &self.model_names
    }

    /// Returns what the prompt shares.
    pub fn chain(&self, id: RequestId) -> Chain<'_> {
        let index = id.index();
        let (start, end) = (self.chain_starts[index], self.chain_starts[index + 1]);
        Chain {
            ids: &self.chain_ids[start as usize..end as usize],
            block_tokens: self.block_tokens,
            shared_tokens: self.shared_tokens[index],
        }
    }

    /// Returns the tokens that a chain id stands for, or [`ONE_LEVEL`].
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// Returns whether engine blocks of `block_size` tokens can be cut from the chains.
    pub fn blocks_fit(&self, block_size: u32) -> bool {
        self.chain_ids.is_empty() || Chain::blocks_fit(self.block_tokens, block_size)
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
        let model = self.models[id.index()];
        let chain = self.chain(id);
        NewRequest {
            arrival: self.arrival(id),
            prompt_tokens: self.prompt_tokens(id),
            output_tokens: self.output_tokens(id),
            chain: chain.ids,
            shared_tokens: chain.shared_tokens,
            session: self.session(id),
            model: Some(model).filter(|model| *model != NONE),
        }
    }
}

impl Default for TraceBuilder {
    fn default() -> Self {
        Self::new(ONE_LEVEL, Vec::new())
    }
}
