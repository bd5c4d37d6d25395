//! Sessions of a trace that names none, from what its prompts share.

use super::numbers::Numbers;
use super::row::{Row, Rows};

/// Gives each row with `hash_ids` a session and returns how many there are; nothing happens when
/// a row already has one.
///
/// A request continues the session of the last request that held its deepest known block. The
/// first block of a chain does not count: it is most often a system prompt that all share. Rows
/// without ids stay without a session, as nothing is known of them.
pub fn infer_sessions(rows: &mut Rows) -> usize {
    infer(&mut rows.rows)
}

/// Does the same to rows alone.
pub(super) fn infer(rows: &mut [Row]) -> usize {
    if rows.iter().any(|row| row.session.is_some()) {
        return 0;
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| rows[index].arrival_ns);
    let mut numbers = Numbers::default();
    let mut chain: Vec<u32> = Vec::new();
    let mut inference = Inference::default();
    for index in order {
        let row = &mut rows[index];
        chain.clear();
        chain.extend(row.hash_ids.iter().map(|id| numbers.of(*id)));
        row.session = inference.session(&chain).map(|session| session.to_string());
    }
    inference.sessions()
}

/// Finds the session of one request after the other, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Inference {
    /// The session that last held each block, by dense id; `NONE` for none.
    holder: Vec<u32>,
    count: u32,
}

const NONE: u32 = u32::MAX;

impl Inference {
    /// Returns the session of the next request, given its dense ids; none when it has none.
    pub(super) fn session(&mut self, chain: &[u32]) -> Option<u32> {
        let (_, below_root) = chain.split_first()?;
        let most = below_root.iter().max().map_or(0, |id| *id as usize + 1);
        if self.holder.len() < most {
            self.holder.resize(most, NONE);
        }
        let mut holders = below_root.iter().rev().map(|id| self.holder[*id as usize]);
        let known = holders.find(|session| *session != NONE);
        let session = known.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        });
        for id in below_root {
            self.holder[*id as usize] = session;
        }
        Some(session)
    }

    /// Returns how many sessions were found.
    pub(super) fn sessions(&self) -> usize {
        self.count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::row::ReadReport;

    fn sessions(chains: &[(i64, &[u64])]) -> (usize, Vec<Option<String>>) {
        let row = |(time, ids): &(i64, &[u64])| Row {
            arrival_ns: *time,
            hash_ids: ids.to_vec(),
            ..Row::default()
        };
        let mut rows = Rows {
            rows: chains.iter().map(row).collect(),
            block_tokens: Some(512),
            report: ReadReport::default(),
        };
        let count = infer_sessions(&mut rows);
        (count, rows.rows.into_iter().map(|row| row.session).collect())
    }

    fn names(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn a_prompt_that_grew_continues_its_session() {
        let (count, found) = sessions(&[(0, &[0, 1, 2]), (1, &[0, 3]), (2, &[0, 1, 2, 4])]);
        assert_eq!((count, found), (2, names(&["0", "1", "0"])));
    }

    #[test]
    fn the_root_alone_joins_nothing() {
        let (count, found) = sessions(&[(0, &[0]), (1, &[0]), (2, &[0, 7])]);
        assert_eq!((count, found), (3, names(&["0", "1", "2"])));
    }

    #[test]
    fn the_deepest_known_block_decides_and_its_last_holder() {
        // Rows 0 and 1 share block 1, so row 1 continues row 0. Row 3 has 1 and 5: 5 is deeper,
        // and known from row 2 only.
        let (count, found) =
            sessions(&[(0, &[0, 1]), (1, &[0, 1, 2]), (2, &[9, 5]), (3, &[0, 1, 5])]);
        assert_eq!((count, found), (2, names(&["0", "0", "1", "1"])));
        // Now block 1 was last held by row 3's session.
        let (_, found) = sessions(&[(0, &[0, 1]), (1, &[9, 5]), (2, &[0, 1, 5]), (3, &[0, 1])]);
        assert_eq!(found, names(&["0", "1", "1", "1"]));
    }

    #[test]
    fn time_not_place_decides_who_was_first() {
        let (_, found) = sessions(&[(5, &[0, 1, 2]), (0, &[0, 1]), (3, &[0, 9])]);
        assert_eq!(found, names(&["0", "0", "1"]));
    }

    #[test]
    fn rows_without_ids_have_no_session() {
        assert_eq!(sessions(&[(0, &[]), (1, &[0])]).1, [None, Some("0".to_owned())]);
    }
}
