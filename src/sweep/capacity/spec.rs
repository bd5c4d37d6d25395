//! The `[capacity]` table of a manifest: what is searched for, and how exactly.

use crate::document::{Bounds, Table, Value};
use crate::sweep::statistics_spec::MOST_SEEDS;

/// The bounds of `relative_width`.
pub(in crate::sweep) const RELATIVE_WIDTH: Bounds = Bounds::Between(1e-4, 1.0);
/// The width of an interval over its estimate, where the manifest does not say.
pub(in crate::sweep) const USUAL_WIDTH: f64 = 0.05;
/// The most seeds of a candidate, where the manifest does not say.
pub(in crate::sweep) const USUAL_SEEDS: u64 = 80;
/// Where seeds are added by what the first ones say, fewer of them cost coverage: 95 % intervals that
/// began with three cover 90 %.
pub(in crate::sweep) const FEWEST_SEEDS: u64 = 5;

/// A search along an axis of the grid, for every combination of the others.
#[derive(Clone, Debug)]
pub struct CapacitySpec {
    /// Name of the axis: its values are the candidates.
    pub over: String,
    /// Which end is looked for.
    pub find: Find,
    /// The width of the interval over the estimate at which the search ends.
    pub relative_width: f64,
    /// The most seeds of a candidate.
    pub max_seeds: usize,
    /// Where it was read.
    pub(in crate::sweep) place: Value,
}

/// Which value of the axis is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// The highest that keeps the objectives: as of rates.
    Highest,
    /// The lowest that does: as of numbers of backends.
    Lowest,
}

impl Find {
    /// Every one, by its name in manifests.
    pub(in crate::sweep) const ALL: [(&'static str, Self); 2] =
        [("highest", Self::Highest), ("lowest", Self::Lowest)];
}

impl CapacitySpec {
    /// Reads the table, which stands at `place`.
    pub(in crate::sweep) fn read(table: &mut Table<'_>, place: Value) -> Self {
        let over = table.text("over").unwrap_or_else(|| "rate".to_owned());
        let usual = match over.as_str() {
            "rate" => Some(Find::Highest),
            "cluster.num_backends" => Some(Find::Lowest),
            _ => None,
        };
        if usual.is_none() && !table.has("find") {
            let hint =
                "`find = \"highest\"` of loads, `find = \"lowest\"` of what helps".to_owned();
            table.fault(format!("which value of `{over}` is looked for?"), Some(hint));
        }
        let find = table.item("find").and_then(|item| {
            let text = item.text()?;
            let found = Find::ALL.iter().find(|(name, _)| *name == text);
            if found.is_none() {
                item.wrong("\"highest\" or \"lowest\"");
            }
            let found = found.map(|(_, find)| *find)?;
            if over == "rate" && found == Find::Lowest {
                item.fault("of rates the highest is searched for", None);
            }
            Some(found)
        });
        let relative_width = table.real("relative_width", RELATIVE_WIDTH);
        let max_seeds = table.whole("max_seeds", FEWEST_SEEDS..=MOST_SEEDS);
        Self {
            over,
            find: find.or(usual).unwrap_or(Find::Highest),
            relative_width: relative_width.unwrap_or(USUAL_WIDTH),
            max_seeds: usize::try_from(max_seeds.unwrap_or(USUAL_SEEDS)).unwrap_or(usize::MAX),
            place,
        }
    }
}
