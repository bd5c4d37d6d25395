//! Runs that may go only so far. The twin has no limits: it says what the whole run is, and with
//! that whether the engine must cut it.

use std::cell::Cell;

use proptest::prelude::*;

use crate::engine::{self, Cut, Limits, RunRecord, SimError};
use crate::units::SimDuration;

use super::scenarios::{Case, case, cases};
use super::sim::Sim;
use super::tests::{Heard, algorithm, cluster, plain, whole};

/// Runs the engine within limits. Returns also what it said, in the order of requests.
fn run_within(case: &Case, limits: &Limits<'_>) -> Result<(Heard, RunRecord), SimError> {
    let Case { fleet, algorithm, trace, window } = case;
    let mut heard = Heard::default();
    let sim = engine::Sim::of_fleet(fleet, algorithm, trace, *window, 42).unwrap();
    let record = sim.run_within(limits, &mut heard)?;
    heard.outcomes.sort_by_key(|outcome| outcome.request);
    Ok((heard, record))
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_run_is_cut_if_and_only_if_the_whole_of_it_goes_further(
        case in case(),
        permille in 0..1_100_u64,
        short in 0..2_u64,
    ) {
        let Case { fleet, algorithm, trace, window } = &case;
        let (_, slow) = Sim::new(fleet, algorithm, trace, *window, 42).run(|_| {}).unwrap();
        let whole = run_within(&case, &Limits::default()).unwrap();
        let part = |whole: u64| whole / 1_000 * permille + whole % 1_000 * permille / 1_000;

        for max_events in [slow.events - short, part(slow.events)] {
            let limits = Limits { max_events: Some(max_events), ..Limits::default() };
            let cut = SimError::Cut(Cut::Events(max_events));
            let expected = if slow.events > max_events { Err(cut) } else { Ok(whole.clone()) };
            prop_assert_eq!(run_within(&case, &limits), expected);
        }
        let end = slow.end.as_ps();
        for most in [end.saturating_sub(short), part(end)] {
            let most = SimDuration::from_ps(most);
            let limits = Limits { max_simulated: Some(most), ..Limits::default() };
            let cut = SimError::Cut(Cut::SimulatedTime(most));
            let expected = if end > most.as_ps() { Err(cut) } else { Ok(whole.clone()) };
            prop_assert_eq!(run_within(&case, &limits), expected);
        }
        let limits = Limits {
            max_events: Some(slow.events),
            max_simulated: Some(SimDuration::from_ps(end)),
            goes_on: Some(&|| true),
        };
        prop_assert_eq!(run_within(&case, &limits), Ok(whole));
    }
}

#[test]
fn a_run_is_asked_while_requests_arrive_and_after() {
    // 5,000 requests of a token each, and one that goes on alone for long: its steps are taken in
    // strides, one for each look.
    let mut rows: Vec<(u64, u32, u32)> = (0..5_000).map(|index| (index * 10, 16, 1)).collect();
    rows.push((50_000, 16, 40_000));
    let trace = plain(&rows);
    let asked_until = |last: u32| {
        let asked = Cell::new(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            asked.get() < last
        };
        let limits = Limits { goes_on: Some(&goes_on), ..Limits::default() };
        let cluster = cluster(2);
        let robin = algorithm("round_robin");
        let sim = engine::Sim::new(&cluster, &robin, &trace, whole(&trace), 1).unwrap();
        let ran = sim.run_within(&limits, &mut Heard::default());
        (ran.map(|record| record.events), asked.get())
    };
    let cut = Err(SimError::Cut(Cut::Asked));
    assert_eq!(asked_until(3), (cut.clone(), 3), "while requests arrive: every 1,024");
    assert_eq!(asked_until(10), (cut, 10), "after the last one");
    let (whole, asked) = asked_until(u32::MAX);
    assert!(whole.unwrap() > 45_000);
    // 40,000 steps of 12.5 ms are 500 s, and stretches double from 1 ms: 4 looks and some 19.
    assert!((20..30).contains(&asked), "{asked}");
}
