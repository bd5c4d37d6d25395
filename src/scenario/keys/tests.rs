use serde_json::json;

use super::*;
use crate::document::{Faults, asked_of};
use crate::scenario::Config;

const LABEL: &str = "keys.toml";

fn parse(document: &Value) -> Result<Config, Faults> {
    let text = toml::to_string(document).unwrap();
    // The text differs wherever the keys do.
    Config::parse(LABEL, &text).map(|config| Config { text: String::new(), ..config })
}

/// A small document that may have any value at that path, with what the key needs.
fn around(path: &str) -> Value {
    let mut document = json!({ "cluster": { "num_backends": 4 } });
    match path {
        "cluster.weights_dtype" | "cluster.kv_dtype" | "cluster.gpu_memory_utilization" => {
            document["cluster"]["model"] = json!("Llama-3.1-8B");
        }
        "cluster.disaggregated.prefill_backends" | "cluster.disaggregated.decode_backends" => {
            document["cluster"]["disaggregated"] = json!({ "enabled": false });
        }
        path if path.starts_with("cluster.disaggregated.") => {
            document["cluster"]["disaggregated"] =
                json!({ "enabled": true, "prefill_backends": 1, "decode_backends": 3 });
        }
        "slo.attainment_ratio" => document["slo"] = json!({ "ttft_ms": 1.0 }),
        "slo.ttft_ms" | "slo.tpot_ms" | "slo.e2e_ms" | "slo.queue_wait_ms" => {
            document["slo"] = json!({ "attainment_ratio": 0.5 });
        }
        path if path.starts_with("cluster.step_model.") => {
            document["cluster"]["step_model"] = json!({ "step_ms": 1.0, "decode_ms": 1.0 });
            document["cluster"]["step_model"]["prefill_token_ms"] = json!(1.0);
        }
        _ => {}
    }
    document
}

#[test]
fn the_catalogue_has_the_keys_that_the_reader_asks_for() {
    let keys = config_keys();
    let mut document = json!({});
    for (path, key) in keys.entries() {
        if matches!(key.kind, KeyKind::Table(_)) {
            document = Keys::with(&document, &path, json!({}));
        } else if path.starts_with("slo.") {
            // The reader asks for those objectives that are there.
            document = Keys::with(&document, &path, json!(1));
        }
    }
    let asked = asked_of(LABEL, || drop(parse(&document)));
    assert_eq!(keys.paths(), asked);
}

#[test]
fn the_reader_takes_what_the_catalogue_does_and_nothing_else() {
    for (path, key) in config_keys().leaves() {
        let document = around(&path);
        let mut accepted = 0;
        for value in key.kind.samples() {
            let read = parse(&Keys::with(&document, &path, value.clone()));
            accepted += usize::from(read.is_ok());
            if !key.kind.admits(&value) {
                assert!(read.is_err(), "{path} = {value} is read");
            } else if let Err(faults) = read {
                // Keys that don't go together are faults too, but other ones.
                let own = [format!("`{path}` is "), "unknown ".to_owned()];
                for fault in &faults.faults {
                    let refused = own.iter().any(|start| fault.message.starts_with(start));
                    assert!(!refused, "{path} = {value}: {}", fault.message);
                }
            }
        }
        assert!(accepted > 0, "{path}");
    }
}

#[test]
fn a_table_is_no_other_value() {
    for (path, key) in config_keys().entries() {
        if matches!(key.kind, KeyKind::Table(_)) {
            for value in [json!(1), json!("text"), json!([])] {
                let faults = parse(&Keys::with(&around(&path), &path, value)).unwrap_err();
                let shown = faults.to_string();
                assert!(shown.contains(&format!("`{path}` is ")), "{shown}");
            }
        }
    }
}

#[test]
fn defaults_are_those_of_the_reader() {
    let mut checked = 0;
    for (path, key) in config_keys().leaves() {
        if let Some(default) = &key.default {
            let document = around(&path);
            let with = Keys::with(&document, &path, default.clone());
            assert_eq!(parse(&document).unwrap(), parse(&with).unwrap(), "{path}");
            assert!(key.kind.admits(default), "{path}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn required_keys_are_those_without_which_nothing_is_read() {
    let document =
        json!({ "cluster": { "num_backends": 4, "disaggregated": { "enabled": false } } });
    assert!(parse(&document).is_ok());
    let keys = config_keys();
    let entries = keys.entries();
    let required = entries.iter().filter(|(_, key)| key.required).map(|(path, _)| path.as_str());
    let required: Vec<&str> = required.collect();
    assert_eq!(required, ["cluster", "cluster.num_backends", "cluster.disaggregated.enabled"]);
    for path in required {
        let mut document = document.clone();
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let table = table.split('.').filter(|key| !key.is_empty());
        let table = table.fold(&mut document, |table, key| &mut table[key]);
        table.as_object_mut().unwrap().remove(key);
        assert!(parse(&document).is_err(), "{path}");
    }
}

#[test]
fn every_key_says_what_it_means() {
    for (path, key) in config_keys().entries() {
        assert!(key.about.ends_with('.') && key.about.len() < 120, "{path}: {}", key.about);
    }
}
