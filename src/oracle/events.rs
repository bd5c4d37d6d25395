//! Events and their order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::units::{BackendId, RequestId, SimTime};

/// What happens, apart from arrivals, which are read off the trace.
///
/// The order of the variants is the order within one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The KV of a prompt has reached its decode backend.
    Delivery { request: RequestId, from: BackendId, to: BackendId },
    /// The oldest step of a backend ends.
    StepEnd(BackendId),
    /// A backend that was idle looks for work.
    Wake(BackendId),
}

impl Event {
    fn rank(self) -> u8 {
        match self {
            Self::Delivery { .. } => 0,
            Self::StepEnd(_) => 1,
            Self::Wake(_) => 2,
        }
    }
}

/// Events to come, first by time, then by rank, then by request or backend.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Reverse<(SimTime, u8, Event)>>,
}

impl EventQueue {
    pub(super) fn push(&mut self, at: SimTime, event: Event) {
        self.heap.push(Reverse((at, event.rank(), event)));
    }

    pub(super) fn next_time(&self) -> Option<SimTime> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(SimTime, Event)> {
        self.heap.pop().map(|Reverse((at, _, event))| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_has_one_order() {
        let mut queue = EventQueue::default();
        let at = SimTime::from_ps(5);
        let delivery = |request| Event::Delivery {
            request: RequestId(request),
            from: BackendId(0),
            to: BackendId(1),
        };
        queue.push(at, Event::Wake(BackendId(0)));
        queue.push(at, Event::StepEnd(BackendId(3)));
        queue.push(at, Event::StepEnd(BackendId(1)));
        queue.push(at, delivery(9));
        queue.push(at, delivery(2));
        queue.push(SimTime::ZERO, Event::Wake(BackendId(7)));
        let order: Vec<Event> = std::iter::from_fn(|| queue.pop()).map(|(_, e)| e).collect();
        assert_eq!(
            order,
            [
                Event::Wake(BackendId(7)),
                delivery(2),
                delivery(9),
                Event::StepEnd(BackendId(1)),
                Event::StepEnd(BackendId(3)),
                Event::Wake(BackendId(0)),
            ]
        );
    }
}
