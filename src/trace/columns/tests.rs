use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn request(ps: u64) -> NewRequest<'static> {
    NewRequest {
        arrival: SimTime::from_ps(ps),
        prompt_tokens: 512,
        output_tokens: 128,
        chain: &[],
        shared_tokens: 0,
        session: None,
        model: None,
    }
}

/// Returns the bytes that 1,000 requests hold, the `n`-th made by `of`.
fn bytes_of_1_000(of: impl Fn(u64) -> NewRequest<'static>) -> usize {
    let mut builder = TraceBuilder::default();
    for n in 0..1_000 {
        builder.push(of(n));
    }
    builder.finish().memory_bytes()
}

#[test]
fn what_no_request_has_takes_no_memory() {
    // Arrival 8, prompt 4, output 4.
    assert_eq!(bytes_of_1_000(request), 16_000);
    // Sorted the other way round: the same.
    assert_eq!(bytes_of_1_000(|n| request(1_000 - n)), 16_000);
    let session = |n| NewRequest { session: Some(0), ..request(n) };
    assert_eq!(bytes_of_1_000(session), 20_000);
    // Start of the chain 4, its id 4, shared tokens 4, and one start more.
    let prefix = |n| NewRequest { chain: &[7], shared_tokens: 64, ..request(n) };
    assert_eq!(bytes_of_1_000(prefix), 28_004);
    let both = |n| NewRequest { session: Some(1), ..prefix(n) };
    assert_eq!(bytes_of_1_000(both), 32_004);
}

#[test]
fn a_trace_of_known_length_never_moves() {
    let mut builder = TraceBuilder::default();
    builder.reserve(1_000);
    for n in 0..1_000 {
        let last = (n == 999).then_some(0);
        builder.push(NewRequest { session: last, ..request(n) });
        let held = builder.0.memory_bytes();
        assert_eq!(held, if n == 999 { 20_000 } else { 16_000 });
    }
}

#[test]
fn a_column_that_begins_late_says_none_before() {
    let mut builder = TraceBuilder::new(16, vec!["m".to_owned()]);
    builder.push(request(0));
    builder.push(NewRequest { session: Some(4), ..request(1) });
    builder.push(NewRequest { chain: &[1, 2], shared_tokens: 20, ..request(2) });
    builder.push(NewRequest { model: Some(0), ..request(3) });
    let trace = builder.finish();
    let sessions: Vec<_> = trace.ids().map(|id| trace.session(id)).collect();
    assert_eq!(sessions, [None, Some(4), None, None]);
    let models: Vec<_> = trace.ids().map(|id| trace.model(id)).collect();
    assert_eq!(models, [None, None, None, Some("m")]);
    let shared: Vec<_> = trace.ids().map(|id| trace.chain(id).shared_tokens).collect();
    assert_eq!(shared, [0, 0, 20, 0]);
    let ids: Vec<_> = trace.ids().map(|id| trace.chain(id).ids.len()).collect();
    assert_eq!(ids, [0, 0, 2, 0]);
}

/// Arrival, chain, session and model.
type Drawn = (u64, Vec<u32>, Option<u32>, Option<u32>);

fn built<'d>(drawn: impl IntoIterator<Item = (usize, &'d Drawn)>) -> Trace {
    let mut builder = TraceBuilder::new(16, Vec::new());
    for (place, (arrival, chain, session, model)) in drawn {
        builder.push(NewRequest {
            // Tells requests of one instant apart.
            output_tokens: u32::try_from(place).unwrap() + 1,
            chain,
            shared_tokens: 16 * u32::try_from(chain.len()).unwrap(),
            session: *session,
            model: *model,
            ..request(*arrival)
        });
    }
    builder.finish()
}

proptest! {
    #[test]
    fn sorting_columns_is_sorting_requests(
        drawn in vec((0_u64..6, vec(0_u32..5, 0..3), of(0_u32..3), of(0_u32..3)), 0..20),
    ) {
        let mut sorted: Vec<(usize, &Drawn)> = drawn.iter().enumerate().collect();
        sorted.sort_by_key(|(_, (arrival, ..))| *arrival);
        prop_assert_eq!(built(drawn.iter().enumerate()), built(sorted));
    }
}
