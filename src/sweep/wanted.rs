//! Which runs of a grid are wanted, going by what is known.

use std::collections::BTreeMap;

use crate::tables::TableError;

use super::capacity::Capacity;
use super::known::Known;
use super::plan::Shard;
use super::precision::{groups, seeds_of};

/// The runs that are wanted of a grid as far as is known now: when these are known, more may be.
///
/// It is a function of the grid and of what is known, so that it goes on from anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// By cell, how many of its seeds, from the first on.
    pub seeds: Vec<usize>,
    /// The searches, in the order of the grid's lines; none where nothing is searched for.
    pub capacities: Vec<Capacity>,
}

impl Wanted {
    /// Finds out which runs are wanted. Where that depends on what others gave, those that do so
    /// together are of one shard: a search, or cells that have as many seeds as one another.
    ///
    /// # Errors
    ///
    /// When a table of results is none.
    pub fn of(known: &Known<'_>, shard: Shard) -> Result<Self, TableError> {
        let grid = known.grid;
        let capacities = Vec::new();
        if let Some(precision) = &grid.manifest.statistics.precision {
            let mut seeds = vec![0; grid.num_cells()];
            for group in groups(grid).iter().skip(shard.index).step_by(shard.count) {
                let own = seeds_of(group, precision, known)?;
                group.iter().for_each(|cell| seeds[*cell] = own);
            }
            return Ok(Self { seeds, capacities });
        }
        let Some(spec) = &grid.manifest.capacity else {
            let seeds = vec![grid.manifest.first_seeds; grid.num_cells()];
            return Ok(Self { seeds, capacities });
        };
        let own = grid.lines().iter().skip(shard.index).step_by(shard.count);
        let capacities: Vec<Capacity> =
            own.map(|line| Capacity::search(grid, spec, line, known)).collect::<Result<_, _>>()?;
        let mut seeds = vec![0; grid.num_cells()];
        let runs: BTreeMap<usize, usize> =
            capacities.iter().flat_map(|capacity| capacity.runs.clone()).collect();
        runs.into_iter().for_each(|(cell, wanted)| seeds[cell] = wanted);
        Ok(Self { seeds, capacities })
    }
}
