//! The list of blocks that nobody holds, as runs of blocks given back together.

pub(super) const NONE: u32 = u32::MAX;

/// Blocks that stand next to each other in the list. They are taken in this order: first those
/// without content, then those with content, the deepest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Whose blocks these are; `NONE` for content that nobody can look up.
    pub(super) node: u32,
    /// The blocks with content: places in the node, or just a number of them.
    pub(super) from: u32,
    pub(super) to: u32,
    /// Blocks without content; a node's run has none.
    pub(super) empty: u32,
    /// The next deeper run of the same node, if `to` is not the end of what the node has cached.
    pub(super) deeper: u32,
    prev: u32,
    pub(super) next: u32,
}

/// A doubly linked list of runs, least recently given back first.
#[derive(Debug)]
pub(super) struct RunList {
    runs: Vec<Run>,
    spare: Vec<u32>,
    head: u32,
    tail: u32,
}

impl RunList {
    pub(super) fn new() -> Self {
        Self { runs: Vec::new(), spare: Vec::new(), head: NONE, tail: NONE }
    }

    pub(super) fn get(&self, run: u32) -> Option<&Run> {
        self.runs.get(run as usize)
    }

    pub(super) fn get_mut(&mut self, run: u32) -> &mut Run {
        &mut self.runs[run as usize]
    }

    /// The run whose blocks are taken next.
    pub(super) fn head(&self) -> u32 {
        self.head
    }

    /// The run given back last, if there is one.
    pub(super) fn last_mut(&mut self) -> Option<&mut Run> {
        self.runs.get_mut(self.tail as usize)
    }

    /// Appends blocks without content and then dead ones: joined to the last run where the order
    /// stays the same.
    pub(super) fn push_anonymous(&mut self, empty: u32, dead: u32) {
        if empty == 0 && dead == 0 {
            return;
        }
        if let Some(last) = self.last_mut()
            && last.node == NONE
            && (empty == 0 || last.from == last.to)
        {
            last.empty += empty;
            last.to += dead;
            return;
        }
        self.push(NONE, (0, dead), empty, NONE);
    }

    /// Appends the places `from` to `to` of a node. Returns the run.
    pub(super) fn push_node(&mut self, node: u32, (from, to): (u32, u32), deeper: u32) -> u32 {
        self.push(node, (from, to), 0, deeper)
    }

    fn push(&mut self, node: u32, (from, to): (u32, u32), empty: u32, deeper: u32) -> u32 {
        let run = Run { node, from, to, empty, deeper, prev: self.tail, next: NONE };
        let id = if let Some(id) = self.spare.pop() {
            self.runs[id as usize] = run;
            id
        } else {
            self.runs.push(run);
            u32::try_from(self.runs.len() - 1).expect("no more runs than blocks")
        };
        match self.tail {
            NONE => self.head = id,
            tail => self.runs[tail as usize].next = id,
        }
        self.tail = id;
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        let Run { prev, next, .. } = self.runs[id as usize];
        match prev {
            NONE => self.head = next,
            prev => self.runs[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => self.runs[next as usize].prev = prev,
        }
        self.spare.push(id);
    }

    /// Returns all runs with their ids, in the order in which they are taken.
    #[cfg(test)]
    pub(super) fn in_order(&self) -> Vec<(u32, Run)> {
        let mut runs = Vec::new();
        let mut at = self.head;
        while at != NONE {
            let run = self.runs[at as usize];
            assert_eq!(run.prev, runs.last().map_or(NONE, |(id, _)| *id), "links disagree");
            runs.push((at, run));
            at = run.next;
        }
        assert_eq!(self.tail, runs.last().map_or(NONE, |(id, _)| *id), "the tail is the last");
        assert_eq!(runs.len() + self.spare.len(), self.runs.len(), "a run is lost");
        runs
    }
}
