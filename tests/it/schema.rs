//! `routesim-sweep schema`: what editors read. `tests/python/schema_check.py` validates with it.

use std::process::{Command, Output};

use serde_json::Value;

fn schema(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_routesim-sweep");
    Command::new(program).arg("schema").args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> Value {
    let output = schema(arguments);
    assert!(output.status.success(), "{arguments:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_file_has_its_schema_and_a_manifest_is_meant_by_default() {
    let (config, manifest) = (printed(&["config"]), printed(&["manifest"]));
    assert_eq!(printed(&[]), manifest);
    for (schema, title, key) in [
        (&config, "RouteSim config", "/properties/cluster/properties/num_backends/minimum"),
        (&manifest, "RouteSim manifest", "/properties/grid/properties/seeds/anyOf/0/minimum"),
    ] {
        assert_eq!(schema["title"], title);
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_eq!(schema.pointer(key), Some(&Value::from(1)), "{key}");
    }
    assert_eq!(schema(&["results"]).status.code(), Some(2));
}
