mod details;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::tables::sample::{self, reals};
use crate::tables::{Frame, Metadata, write_parquet};
use crate::units::{PS_PER_MS, SimDuration};

const ENGINE: &str = "1.0-engine.1";

/// A folder of its own for a test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("routesim-store-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    fn store(&self) -> Store {
        Store::open(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The id that ends with these digits.
fn id(digits: &str) -> RunId {
    RunId::parse(&full(digits)).unwrap()
}

fn full(digits: &str) -> String {
    format!("{digits:0>16}")
}

/// A table of columns of text and of numbers; ids are given by their last digits.
fn table(
    ids: &[&str],
    texts: &[(&str, &[Option<&str>])],
    reals: &[(&str, &[Option<f64>])],
) -> Frame {
    let ids: Vec<String> = ids.iter().map(|id| full(id)).collect();
    sample::table(&ids.iter().map(String::as_str).collect::<Vec<_>>(), texts, reals)
}

/// Runs that ended well, with a latency each.
fn runs(ids: &[&str], latency: f64) -> Frame {
    let (status, values) = (vec![Some("ok"); ids.len()], vec![Some(latency); ids.len()]);
    table(ids, &[("status", &status)], &[("ttft_ms", &values)])
}

/// The last digits of the ids of all runs.
fn ids(stored: &Stored) -> Vec<String> {
    let mut ids: Vec<String> = stored.rows.keys().map(RunId::to_string).collect();
    ids.sort();
    ids.iter().map(|id| id.trim_start_matches('0').to_owned()).collect()
}

fn columns(stored: &Stored) -> Vec<&str> {
    stored.results.get_column_names().iter().map(|name| name.as_str()).collect()
}

/// Commits two batches and returns their files.
fn two_parts(store: &Store) -> [PathBuf; 2] {
    [runs(&["a", "b"], 1.0), runs(&["c"], 2.0)].map(|frame| store.commit(frame, ENGINE).unwrap())
}

#[test]
fn what_was_committed_is_read() {
    let folder = Folder::new("round");
    let store = folder.store();
    assert!(store.read(ENGINE).unwrap().is_empty(), "no folder yet");
    let path = store.commit(runs(&["b", "a"], 1.5), ENGINE).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name[..32], file_sha256(&path).unwrap()[..32], "the name is the content's");
    store.commit(runs(&["c"], 2.5), ENGINE).unwrap();
    let stored = store.read(ENGINE).unwrap();
    assert_eq!(columns(&stored), [STATUS, "ttft_ms"]);
    assert_eq!((ids(&stored), stored.len()), (vec!["a".into(), "b".into(), "c".into()], 3));
    let picked = stored.select(["c", "f", "a"].map(id).into_iter()).unwrap();
    assert_eq!(reals(&picked, "ttft_ms"), [Some(2.5), Some(1.5)], "as asked for");
    assert!(stored.damaged.is_empty() && stored.others.is_empty() && stored.strangers.is_empty());
    let index = store.index(ENGINE).unwrap();
    assert_eq!((index.len(), index.has_run(id("c")), index.has_run(id("f"))), (3, true, false));
}

#[test]
fn equal_batches_are_one_file_and_equal_runs_one_row() {
    let folder = Folder::new("equal");
    let store = folder.store();
    let first = store.commit(runs(&["a", "b"], 1.0), ENGINE).unwrap();
    assert_eq!(store.commit(runs(&["a", "b"], 1.0), ENGINE).unwrap(), first);
    store.commit(runs(&["b", "c"], 1.0), ENGINE).unwrap();
    assert_eq!(ids(&store.read(ENGINE).unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_column_without_a_value_is_as_good_as_none() {
    let folder = Folder::new("columns");
    let store = folder.store();
    let value = |value: f64| [Some(value)];
    // The same run in a sweep with an objective more, which is not its own.
    let narrow = table(&["a"], &[("error", &[None])], &[("x", &value(1.0))]);
    let wide = table(&["a", "b"], &[], &[("y", &[None, Some(2.0)]), ("x", &[Some(1.0), None])]);
    store.commit(narrow, ENGINE).unwrap();
    store.commit(wide, ENGINE).unwrap();
    let stored = store.read(ENGINE).unwrap();
    let picked = stored.select(["a", "b"].map(id).into_iter()).unwrap();
    assert_eq!(reals(&picked, "x"), [Some(1.0), None]);
    assert_eq!(reals(&picked, "y"), [None, Some(2.0)]);
    assert_eq!(columns(&stored), ["error", "x", "y"]);
}

#[test]
fn two_results_of_one_run_name_both_files() {
    let folder = Folder::new("conflict");
    let store = folder.store();
    let one = store.commit(runs(&["a", "b"], 1.0), ENGINE).unwrap();
    // The smallest difference there is.
    let other = f64::from_bits(1.0_f64.to_bits() + 1);
    let two = store.commit(runs(&["c", "b"], other), ENGINE).unwrap();
    let error = store.read(ENGINE).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("run {} has different results", id("b"))), "{text}");
    assert!([one, two].iter().all(|path| text.contains(path.to_str().unwrap())), "{text}");
    assert!(error.hint().unwrap().contains("remove"));
    assert!(store.read("another").is_ok(), "another engine's runs are of no concern");
}

#[test]
fn a_damaged_part_is_told_and_its_runs_are_not_there() {
    let folder = Folder::new("damage");
    let store = folder.store();
    let [first, second] = two_parts(&store);
    let whole = fs::read(&first).unwrap();
    let mut damages = vec![Vec::new(), whole[..whole.len() / 2].to_vec(), b"PAR1PAR1".to_vec()];
    for at in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        damages.push(flipped);
    }
    for damage in damages {
        fs::write(&first, damage).unwrap();
        let stored = store.read(ENGINE).unwrap();
        assert_eq!(ids(&stored), ["c"]);
        let paths: Vec<&PathBuf> = stored.damaged.iter().map(|damaged| &damaged.path).collect();
        assert_eq!(paths, [&first]);
        let index = store.index(ENGINE).unwrap();
        assert_eq!((index.len(), index.damaged.len()), (1, 1));
    }
    // Damaged still, of whatever engine; and so it can go.
    store.commit(runs(&["d"], 1.0), "another").unwrap();
    assert_eq!(store.discard_damaged().unwrap(), std::slice::from_ref(&first));
    assert!(store.read(ENGINE).unwrap().damaged.is_empty());
    assert_eq!(ids(&store.read("another").unwrap()), ["d"], "what is whole stays");
    assert_eq!(store.commit(runs(&["a", "b"], 1.0), ENGINE).unwrap(), first);
    let mended = store.read(ENGINE).unwrap();
    assert_eq!((ids(&mended).len(), mended.damaged.len()), (3, 0), "computed again");
    assert!(second.exists());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = Folder::new("foreign");
    let store = folder.store();
    let [first, _] = two_parts(&store);
    let parts = folder.0.join("parts");
    for name in ["notes.txt", ".DS_Store", "zz"] {
        fs::write(parts.join(name), "x").unwrap();
    }
    let copy = first.with_file_name("copy of a part.parquet");
    fs::copy(&first, &copy).unwrap();
    fs::write(first.with_file_name(".tmp-1-1"), "half a pa").unwrap();
    fs::create_dir(first.with_file_name("folder")).unwrap();
    // A table of someone else under the name that its bytes would have.
    let mut bytes = Vec::new();
    write_parquet(&mut runs(&["e"], 1.0), &Metadata::default(), &mut bytes).unwrap();
    let name = sha256_hex(&bytes)[..32].to_owned();
    let alien = parts.join(&name[..2]).join(format!("{name}.parquet"));
    fs::create_dir_all(alien.parent().unwrap()).unwrap();
    fs::write(&alien, &bytes).unwrap();

    let stored = store.read(ENGINE).unwrap();
    assert_eq!(ids(&stored), ["a", "b", "c"]);
    assert_eq!(stored.damaged, [Damaged { path: alien, why: stored.damaged[0].why.clone() }]);
    assert!(stored.damaged[0].why.contains("no part of a store"));
    let mut strangers = stored.strangers;
    strangers.sort();
    let mut expected =
        vec![parts.join("notes.txt"), parts.join("zz"), copy, first.with_file_name("folder")];
    expected.sort();
    assert_eq!(strangers, expected);
}

#[test]
fn runs_of_another_engine_are_counted_and_not_read() {
    let folder = Folder::new("engines");
    let store = folder.store();
    two_parts(&store);
    store.commit(runs(&["a"], 9.0), "2.0-engine.2").unwrap();
    let stored = store.read(ENGINE).unwrap();
    assert_eq!(ids(&stored), ["a", "b", "c"]);
    assert_eq!(stored.others.get("2.0-engine.2"), Some(&1));
    let newer = store.read("2.0-engine.2").unwrap();
    assert_eq!((ids(&newer), newer.others.get(ENGINE)), (vec!["a".to_owned()], Some(&2)));
    assert_eq!(store.index("2.0-engine.2").unwrap().others.get(ENGINE), Some(&2));
}

#[test]
fn only_old_files_on_their_way_are_cleared() {
    let folder = Folder::new("gc");
    let store = folder.store();
    let [first, second] = two_parts(&store);
    let left = first.with_file_name(".tmp-77-0");
    fs::write(&left, "half").unwrap();
    let written = fs::metadata(&left).unwrap().modified().unwrap();
    let hour = Duration::from_secs(3_600);
    assert!(store.gc(written - hour).unwrap().is_empty(), "it may be on its way");
    assert!(left.exists());
    assert_eq!(store.gc(written + hour).unwrap(), [left]);
    assert!(first.exists() && second.exists());
    let nowhere = Store::open(folder.0.join("none")).unwrap();
    assert!(nowhere.gc(SystemTime::UNIX_EPOCH + hour).unwrap().is_empty());
}

#[test]
fn a_folder_belongs_to_one_sweep() {
    let folder = Folder::new("claim");
    let store = folder.store();
    store.claim("capacity").unwrap();
    store.claim("capacity").unwrap();
    let error = store.claim("other").unwrap_err();
    assert!(error.to_string().contains("store.json: results of the sweep `capacity`"), "{error}");
    assert!(error.hint().unwrap().contains("--out"));
    let path = folder.0.join("store.json");
    fs::write(&path, "{\"store_schema\": 2, \"sweep\": \"capacity\"}").unwrap();
    let error = store.claim("capacity").unwrap_err();
    assert!(error.to_string().contains("store schema 2"), "{error}");
    fs::write(&path, "{").unwrap();
    let error = store.claim("capacity").unwrap_err();
    assert!(matches!(error, StoreError::NoClaim { .. }), "{error}");
    assert!(!folder.0.join("parts").exists());
}

#[test]
fn a_folder_of_somebody_else_is_not_written_into() {
    let folder = Folder::new("foreign-folder");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join(".hidden"), "x").unwrap();
    fs::write(folder.0.join("manifest.toml"), "mine").unwrap();
    let store = folder.store();
    let error = store.claim("s").unwrap_err();
    assert!(error.to_string().contains("not empty and no folder of results: manifest.toml"));
    assert!(error.hint().unwrap().contains("--out"));
    assert!(!folder.0.join("store.json").exists());
    // With runs in it, it is one whose `store.json` is lost.
    store.commit(runs(&["a"], 1.0), ENGINE).unwrap();
    store.claim("s").unwrap();
}

#[test]
fn a_batch_that_is_none_is_refused_and_leaves_nothing() {
    let folder = Folder::new("batches");
    let store = folder.store();
    let twice = store.commit(runs(&["a", "b", "a"], 1.0), ENGINE).unwrap_err();
    assert!(twice.to_string().contains("a stands twice"), "{twice}");
    let empty = store.commit(runs(&[], 1.0), ENGINE).unwrap_err();
    assert!(empty.to_string().contains("without runs"), "{empty}");
    let no_ids = store.commit(runs(&["a"], 1.0).drop(RUN_ID).unwrap(), ENGINE).unwrap_err();
    assert!(no_ids.to_string().contains(RUN_ID), "{no_ids}");
    let small = store.commit(sample::with_small_numbers(&[&full("a")]), ENGINE).unwrap_err();
    assert!(small.to_string().contains("column `n` is of type i32"), "{small}");
    let hashed = table(&["a"], &[(RESULT_HASH, &[Some("x")])], &[]);
    assert!(matches!(store.commit(hashed, ENGINE), Err(StoreError::Batch { .. })));
    assert!(!folder.0.exists());
}

#[test]
fn a_column_of_two_types_is_an_error() {
    let folder = Folder::new("types");
    let store = folder.store();
    store.commit(table(&["a"], &[("x", &[Some("1")])], &[]), ENGINE).unwrap();
    store.commit(table(&["b"], &[], &[("x", &[Some(1.0)])]), ENGINE).unwrap();
    let error = store.read(ENGINE).unwrap_err();
    assert!(error.to_string().contains("column `x` is of type"), "{error}");
}

#[test]
fn writers_and_readers_do_not_get_in_each_others_way() {
    let folder = Folder::new("crowd");
    let store = folder.store();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                store.claim("crowd").unwrap();
                for batch in 0..20 {
                    // Each batch is written by two of the writers.
                    let names = [0, 1].map(|run| format!("{}{batch:02}{run}", writer / 2 + 1));
                    let frame = runs(&[&names[0], &names[1]], 1.0);
                    store.commit(frame, ENGINE).unwrap();
                    let stored = store.read(ENGINE).unwrap();
                    assert!(stored.damaged.is_empty(), "nothing is seen half-written");
                    assert!(names.iter().all(|name| stored.has_run(id(name))));
                }
            });
        }
    });
    let stored = store.read(ENGINE).unwrap();
    assert_eq!(stored.len(), 2 * 20 * 2);
    assert!(store.gc(SystemTime::UNIX_EPOCH).unwrap().is_empty());
    let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let parts = fs::read_dir(folder.0.join("parts")).unwrap();
    assert_eq!(parts.map(|entry| count(&entry.unwrap().path())).sum::<usize>(), 2 * 20);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named() {
    let folder = Folder::new("blocked");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("parts"), "x").unwrap();
    let store = folder.store();
    let results = [store.commit(runs(&["a"], 1.0), ENGINE).map(drop), store.read(ENGINE).map(drop)];
    for result in results {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("parts"), "{error}");
        assert!(error.hint().unwrap().contains("a file stands where a folder should"));
    }
    let error = Store::open(folder.0.join("parts")).unwrap_err();
    assert!(error.hint().is_some());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_how_to_go_on() {
    let full = Path::new("/dev/full");
    let file = fs::OpenOptions::new().write(true).open(full).unwrap();
    let error = files::fill(full, file, b"a part").unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: "), "{error}");
    assert!(error.hint().unwrap().contains("what the store has already is kept"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_told() {
    // Nobody may make a folder there, the superuser included.
    let store = Store::open("/proc/routesim").unwrap();
    for result in [store.claim("s"), store.commit(runs(&["a"], 1.0), ENGINE).map(drop)] {
        let error = result.unwrap_err();
        assert!(error.to_string().starts_with("/proc/routesim: "), "{error}");
    }
    assert!(store.read(ENGINE).unwrap().is_empty());
}

#[test]
fn no_clock_decides_what_is_kept() {
    let folder = Folder::new("clock");
    let store = folder.store();
    let [first, second] = two_parts(&store);
    let on_its_way = first.with_file_name(".tmp-1-1");
    fs::write(&on_its_way, "half a part").unwrap();
    // The clock went back a year between the two, and again before somebody cleans up: the files
    // are of the future.
    let now = fs::metadata(&first).unwrap().modified().unwrap();
    let year = Duration::from_secs(365 * 86_400);
    for (path, time) in [(&first, now + year), (&second, now - year), (&on_its_way, now + year)] {
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(store.gc(now - Duration::from_secs(86_400)).unwrap(), Vec::<PathBuf>::new());
    assert!(on_its_way.exists(), "somebody may be writing it");
    assert_eq!(ids(&store.read(ENGINE).unwrap()), ["a", "b", "c"]);
    // The same results again, and others of the same run, whichever file is the later.
    assert_eq!(store.commit(runs(&["c"], 2.0), ENGINE).unwrap(), second);
    store.commit(runs(&["c"], 3.0), ENGINE).unwrap();
    assert!(store.read(ENGINE).unwrap_err().to_string().contains("different results"));
}
