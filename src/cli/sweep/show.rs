//! The tables and the answer of what is done.

use super::Format;
use super::job::Job;
use super::look::shape;
use super::provenance::{Clock, metadata, provenance};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, print_with, remark};
use crate::cli::results::{CAPACITY, COMPARISONS, Likes, ResultFiles, ResultWriters};
use crate::cli::warnings::{FEWEST_FOR_P99, warn};
use crate::report::{
    answers_json, capacities_json, capacities_text, contests_json, contests_text, sweep_text,
};
use crate::store::Stored;
use crate::sweep::{
    Answer, Block, CellAnswer, Comparer, Contest, Gathered, Grid, capacities_frame, contest_frames,
};
use crate::tables::{
    Frame, RunFacts, RunsReader, TableError, cells_frame, wide_cells_frame, write_csv,
    write_csv_rows,
};

/// Failed runs whose cause is told.
const MOST_TOLD: usize = 3;

/// How the results were made.
pub(super) struct Made {
    pub(super) pool_threads: usize,
    pub(super) clock: Clock,
}

/// What is to be said of the runs.
#[derive(Default)]
struct Seen {
    cells: Vec<CellAnswer>,
    failed: usize,
    /// The first of them.
    told: Vec<RunFacts>,
    /// The run with the fewest measured requests that finished.
    fewest: Option<RunFacts>,
}

/// Writes the tables into `files`, if they are to be written, and prints the answer.
pub(super) fn show(
    job: &Job,
    files: Option<ResultFiles>,
    (stored, gathered): (&Stored, &Gathered<'_>),
    format: Format,
    made: &Made,
) -> Result<Exit, CliError> {
    let grid = &job.grid;
    let mut seen = Seen::default();
    let mut comparer = Comparer::of(grid);
    let mut writers = files.map(|files| begin(job, files, (stored, gathered))).transpose()?;
    // The answer was paid for: a full disk does not take it away.
    let mut written = Ok(());
    for block in gathered.blocks() {
        let mut block = block?;
        let reader = RunsReader::new(&block.runs);
        seen.add(job, &block, &reader)?;
        if let Some(comparer) = &mut comparer {
            comparer.add(block.cells.clone(), &reader)?;
        }
        if let (Some(writers), Ok(())) = (&mut writers, &written) {
            written = write(grid, writers, &mut block);
        }
    }
    let seconds = made.clock.seconds();
    let counts = (seen.failed, gathered.missing());
    let compared = comparer.as_ref().map(|comparer| (comparer, comparer.contests()));
    let written = written.and_then(|()| match writers {
        None => Ok(()),
        Some(writers) => {
            if let Some((comparer, contests)) = &compared {
                write_contests(job, &writers, comparer, contests)?;
            }
            if job.grid.manifest.capacity.is_some() {
                let mut found = capacities_frame(&job.grid, &job.wanted.capacities)?;
                writers.add_whole(CAPACITY, &mut found, &metadata(&job.grid, &job.inputs))?;
            }
            let provenance = provenance(job, &made.clock, made.pool_threads, counts);
            writers.finish(&grid.manifest.text, provenance)
        }
    });
    match format {
        Format::Csv => print_cells(grid, gathered)?,
        Format::Text | Format::Json => print(&answer(job, &mut seen, format, compared.as_ref()))?,
    }
    written?;
    seen.warn();
    let folder = job.store.root().display();
    let of = match gathered.missing() {
        0 => String::new(),
        missing => format!(", {missing} of them missing"),
    };
    remark(&format!("{}{of} in {seconds:.1} s; tables in {folder}", shape(job)));
    let told = seen.told.iter();
    failures(told.map(|run| (run.cell_label.clone(), run.seed, run.error.as_ref())));
    if seen.failed > seen.told.len() {
        let more = seen.failed - seen.told.len();
        remark(&format!("and {more} more: column `error` of runs.parquet"));
    }
    let all_well = seen.failed + gathered.missing() == 0;
    Ok(if all_well { Exit::Success } else { Exit::FailedRuns })
}

/// What cells that are compared say, if the manifest asks for it.
type Compared<'a, 'g> = Option<&'a (&'a Comparer<'g>, Vec<Contest>)>;

/// The answer: what searches found, or how far each algorithm holds along the rates of the grid.
fn answer(job: &Job, seen: &mut Seen, format: Format, compared: Compared<'_, '_>) -> String {
    let (grid, capacities) = (&job.grid, &job.wanted.capacities);
    let answers = Answer::of(grid, std::mem::take(&mut seen.cells));
    match (format, grid.manifest.capacity.is_some()) {
        (Format::Json, true) => format!("{:#}\n", capacities_json(grid, capacities)),
        (Format::Text | Format::Csv, true) => capacities_text(grid, capacities),
        (Format::Json, false) => answer_json(grid, &answers, compared),
        (Format::Text | Format::Csv, false) => answer_text(grid, &answers, compared),
    }
}

fn answer_text(grid: &Grid, answers: &[Answer], compared: Compared<'_, '_>) -> String {
    let mut text = sweep_text(grid, answers);
    if let Some((comparer, contests)) = compared {
        text.push_str(&contests_text(grid, comparer, contests));
    }
    text
}

fn answer_json(grid: &Grid, answers: &[Answer], compared: Compared<'_, '_>) -> String {
    let mut document = answers_json(grid, answers);
    if let Some((comparer, contests)) = compared {
        document["comparisons"] = contests_json(grid, comparer, contests);
    }
    format!("{document:#}\n")
}

impl Seen {
    fn add(&mut self, job: &Job, block: &Block, reader: &RunsReader) -> Result<(), TableError> {
        let cells = block.cells.clone();
        self.cells.extend(CellAnswer::read(&job.grid, &job.plan, cells, reader)?);
        let runs = reader.all()?;
        let (_, failed) = runs.by_status()?;
        self.failed += failed.len();
        self.told.extend(failed.first(MOST_TOLD - self.told.len())?);
        let finished = |run: &RunFacts| run.measured.finished;
        if let Some(run) = runs.fewest_finished()?
            && self.fewest.as_ref().is_none_or(|fewest| finished(&run) < finished(fewest))
        {
            self.fewest = Some(run);
        }
        Ok(())
    }

    fn warn(&self) {
        let few = self.fewest.iter().filter(|run| run.measured.finished < FEWEST_FOR_P99);
        warn(few.map(|run| (format!("{}, seed {}", run.cell_label, run.seed), run)));
    }
}

fn begin<'a>(
    job: &'a Job,
    files: ResultFiles,
    (stored, gathered): (&'a Stored, &Gathered<'_>),
) -> Result<ResultWriters<'a>, CliError> {
    let none = gathered.none()?.runs;
    let [cells, wide] = of_cells(&job.grid, &none)?;
    let like = Likes { runs: &none, cells: &cells, wide: &wide };
    files.begin((&job.store, stored), &like, &metadata(&job.grid, &job.inputs))
}

fn write(grid: &Grid, writers: &mut ResultWriters<'_>, block: &mut Block) -> Result<(), CliError> {
    for runs in block.pieces() {
        let [mut cells, mut wide] = of_cells(grid, &runs)?;
        writers.add_cells(&mut cells, &mut wide)?;
    }
    writers.add_runs(block)
}

fn write_contests(
    job: &Job,
    writers: &ResultWriters<'_>,
    comparer: &Comparer<'_>,
    contests: &[Contest],
) -> Result<(), CliError> {
    let tables = contest_frames(&job.grid, &job.plan, comparer, contests)?;
    let metadata = metadata(&job.grid, &job.inputs);
    for (name, mut table) in COMPARISONS.into_iter().zip(tables) {
        writers.add_whole(name, &mut table, &metadata)?;
    }
    Ok(())
}

/// Makes the two tables of cells from a table of runs.
fn of_cells(grid: &Grid, runs: &Frame) -> Result<[Frame; 2], TableError> {
    let slo = grid.slo_columns();
    let cells = cells_of(grid, runs, &slo)?;
    let wide = wide_cells_frame(&cells, &slo)?;
    Ok([cells, wide])
}

/// Makes the table of cells with the intervals that the manifest asks for.
fn cells_of(grid: &Grid, runs: &Frame, slo: &[String]) -> Result<Frame, TableError> {
    cells_frame(runs, &grid.coordinates, slo, grid.manifest.statistics.interval)
}

/// Prints the table of cells.
fn print_cells(grid: &Grid, gathered: &Gathered<'_>) -> Result<(), CliError> {
    let slo = grid.slo_columns();
    let text = |block: Result<Block, TableError>| {
        let mut text = Vec::new();
        for runs in block?.pieces() {
            write_csv_rows(&mut cells_of(grid, &runs, &slo)?, &mut text)?;
        }
        Ok::<_, TableError>(text)
    };
    let mut made = Ok(());
    let mut head = Vec::new();
    write_csv(&mut cells_of(grid, &gathered.none()?.runs, &slo)?, &mut head)?;
    print_with(|out| {
        out.write_all(&head)?;
        for block in gathered.blocks() {
            match text(block) {
                Ok(text) => out.write_all(&text)?,
                Err(error) => made = Err(error),
            }
        }
        Ok(())
    })?;
    Ok(made?)
}

/// Says why runs failed: of the first three.
pub(super) fn failures<'r>(failed: impl Iterator<Item = (String, u64, Option<&'r String>)>) {
    for (cell, seed, error) in failed.take(MOST_TOLD) {
        let error = error.map_or("", String::as_str);
        remark(&format!("failed: {cell} seed {seed}: {error}"));
    }
}
