//! Details beside results: what any part has of a run counts, and they are no part of the results.

use super::*;
use crate::tables::detail_sample::{list, with_detail};
use crate::tables::{Detail, ParquetFile, texts};

const LISTS: [&[i64]; 2] = [&[1, 2, 3], &[]];

/// Runs `a` and `b` with these details.
fn with(details: &[Detail]) -> Frame {
    let lists = LISTS.map(Some);
    let plain = runs(&["a", "b"], 1.0);
    details.iter().fold(plain, |frame, detail| with_detail(&frame, *detail, &lists))
}

fn lists(store: &Store, stored: &Stored, detail: Detail) -> [Vec<i64>; 2] {
    let details = store.details(stored, detail, &["b", "a"].map(id)).unwrap();
    // As asked for.
    [1, 0].map(|row| list(&details, &detail.columns()[0], row))
}

#[test]
fn the_richer_of_two_equal_results_counts_whichever_came_first() {
    let [one, two] = Detail::ALL;
    let ways: [&[&[Detail]]; 4] =
        [&[&[], &[one, two]], &[&[one, two], &[]], &[&[one], &[two]], &[&[two], &[], &[one]]];
    for (way, parts) in ways.into_iter().enumerate() {
        let folder = Folder::new(&format!("richer-{way}"));
        let store = folder.store();
        for details in parts {
            store.commit(with(details), ENGINE).unwrap();
        }
        let mut stored = store.read(ENGINE).unwrap();
        stored.require(&Detail::ALL).unwrap();
        assert_eq!(stored.len(), 2);
        for detail in Detail::ALL {
            assert_eq!(lists(&store, &stored, detail), LISTS.map(<[i64]>::to_vec));
        }
        assert!(!columns(&stored).contains(&Detail::ALL[0].columns()[0].as_str()), "not read yet");
        let mut index = store.index(ENGINE).unwrap();
        index.require(&Detail::ALL);
        assert_eq!(index.len(), 2);
    }
}

#[test]
fn a_run_without_what_is_asked_for_is_not_done() {
    let folder = Folder::new("lacking");
    let store = folder.store();
    store.commit(with(&[Detail::Batches]), ENGINE).unwrap();
    // Of `c` one list is there and of `d` none; `e` failed and has none to give.
    let some = with_detail(&runs(&["c", "d"], 1.0), Detail::Histograms, &[Some(&[]), None]);
    store.commit(some, ENGINE).unwrap();
    let failed = table(&["e"], &[("status", &[Some("failed")])], &[]);
    store.commit(failed, ENGINE).unwrap();
    for (asked, done) in [
        (&[][..], vec!["a", "b", "c", "d", "e"]),
        (&[Detail::Histograms], vec!["c", "e"]),
        (&[Detail::Batches], vec!["a", "b", "e"]),
        (&Detail::ALL, vec!["e"]),
    ] {
        let (mut stored, mut index) = (store.read(ENGINE).unwrap(), store.index(ENGINE).unwrap());
        stored.require(asked).unwrap();
        index.require(asked);
        for run_id in ["a", "b", "c", "d", "e"] {
            let is_done = done.contains(&run_id);
            assert_eq!(stored.has_run(id(run_id)), is_done, "{asked:?} {run_id}");
            assert_eq!(index.has_run(id(run_id)), is_done, "{asked:?} {run_id}");
        }
        assert_eq!((stored.len(), index.len()), (done.len(), done.len()));
    }
}

#[test]
fn results_have_one_hash_with_details_and_without() {
    let folder = Folder::new("hashes");
    let store = folder.store();
    let hash = |details: &[Detail], engine: &str| {
        let part = fs::read(store.commit(with(details), engine).unwrap()).unwrap();
        let rows = ParquetFile::open(&part).unwrap().rows(Some(&[RESULT_HASH])).unwrap();
        texts(&rows, RESULT_HASH).unwrap().join(" ")
    };
    assert_eq!(hash(&[], "plain"), hash(&Detail::ALL, "rich"));
}

#[test]
fn two_details_of_one_run_name_both_files() {
    let folder = Folder::new("detail-conflict");
    let store = folder.store();
    let one = store.commit(with(&[Detail::Histograms]), ENGINE).unwrap();
    let other: &[i64] = &[1, 2, 4];
    let other = with_detail(&runs(&["a"], 1.0), Detail::Histograms, &[Some(other)]);
    let two = store.commit(other, ENGINE).unwrap();
    let text = store.read(ENGINE).unwrap_err().to_string();
    assert!(text.contains(&format!("run {} has different results", id("a"))), "{text}");
    assert!([one, two].iter().all(|path| text.contains(path.to_str().unwrap())), "{text}");
}

#[test]
fn a_part_that_is_hurt_meanwhile_is_named() {
    let folder = Folder::new("hurt");
    let store = folder.store();
    let part = store.commit(with(&[Detail::Histograms]), ENGINE).unwrap();
    let stored = store.read(ENGINE).unwrap();
    fs::write(&part, "x").unwrap();
    let error = store.details(&stored, Detail::Histograms, &[id("a")]).unwrap_err();
    assert!(error.to_string().contains(part.to_str().unwrap()), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn tables_of_a_run_are_one_engines_and_series_one_intervals() {
    let folder = Folder::new("run-tables");
    let every = |ms: u64| RunTable::Series(SimDuration::from_ps(ms * PS_PER_MS));
    let tables = [
        (RunTable::Requests, every(500), format!("requests/{ENGINE}/ab/ab00000000000012.parquet")),
        (
            every(500),
            every(1_000),
            format!("series/{ENGINE}/every_0.5_s/ab/ab00000000000012.parquet"),
        ),
    ];
    for (table, other, path) in tables {
        let store = folder.store();
        let run = RunId::parse("ab00000000000012").unwrap();
        let has = |table, engine| store.has_run_table(table, engine, run);
        assert!(!has(table, ENGINE));
        store.put_run_table(table, ENGINE, run, b"rows PAR1").unwrap();
        assert!(has(table, ENGINE) && !has(table, "other") && !has(other, ENGINE));
        for cut in [&b"rows PA"[..], b"PAR", b""] {
            fs::write(folder.0.join(&path), cut).unwrap();
            assert!(!has(table, ENGINE), "a file that ends too early counts for nothing");
        }
        store.put_run_table(table, ENGINE, run, b"rows PAR1").unwrap();
        leftovers_go(&store, &folder.0.join(path));
    }
}

/// A table of a run stays when what is left beside it is removed.
fn leftovers_go(store: &Store, path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"rows PAR1");
    let left = path.with_file_name(".tmp-77-0");
    fs::write(&left, "half").unwrap();
    let written = fs::metadata(&left).unwrap().modified().unwrap();
    assert_eq!(store.gc(written + Duration::from_secs(1)).unwrap(), [left], "as beside parts");
    assert!(path.exists());
}
