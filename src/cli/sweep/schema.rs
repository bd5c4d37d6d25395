//! What files may say, for editors.

use clap::ValueEnum;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::print;
use crate::scenario::config_schema;
use crate::sweep::manifest_schema;

/// A kind of file that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    Manifest,
    Config,
}

/// Prints the JSON Schema of that kind of file.
pub(super) fn show(of: SchemaOf) -> Result<Exit, CliError> {
    let schema = match of {
        SchemaOf::Manifest => manifest_schema(),
        SchemaOf::Config => config_schema(),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(Exit::Success)
}
