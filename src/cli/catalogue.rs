//! GPUs, models and presets on the command line.

use crate::cluster::{Deployment, GPUS, Gpu, MODELS, Model, PARALLEL_DEGREES};
use crate::document::did_you_mean;
use crate::report::Catalogue;

use super::args::{CatalogueArgs, OutputFormat};
use super::error::CliError;
use super::output::print;

/// KV tokens below which an engine is of no use: no prompt of a usual length fits.
const FEWEST_TOKENS: u32 = 8_192;
/// Tokens in a block.
const BLOCK_TOKENS: u32 = 16;

/// Prints GPUs, models, and what each model does on each GPU.
pub(super) fn show(args: &CatalogueArgs) -> Result<(), CliError> {
    let gpus = match &args.gpu {
        Some(name) => vec![gpu(name)?],
        None => GPUS.iter().collect(),
    };
    let models = match &args.model {
        Some(name) => vec![model(name)?],
        None => MODELS.iter().collect(),
    };
    let pairs = models.iter().flat_map(|model| gpus.iter().map(move |gpu| (*gpu, *model)));
    let deployments = pairs.filter_map(|(gpu, model)| deploy(gpu, model, args.tensor_parallel));
    let catalogue = Catalogue {
        deployments: deployments.collect(),
        sources: args.gpu.is_some() || args.model.is_some(),
        gpus,
        models,
    };
    match args.format {
        OutputFormat::Text => print(&catalogue.text()),
        OutputFormat::Json => {
            let json = serde_json::to_string_pretty(&catalogue.json());
            print(&format!("{}\n", json.expect("a value has text keys only")))
        }
        OutputFormat::Csv => print(&catalogue.csv()),
    }
}

/// Puts a model on so many GPUs, or on the fewest that leave room for KV; none when no number does.
fn deploy(gpu: &'static Gpu, model: &'static Model, degree: Option<u32>) -> Option<Deployment> {
    if let Some(degree) = degree {
        return Some(Deployment::new(gpu, model, degree));
    }
    let mut deployments =
        PARALLEL_DEGREES.into_iter().map(|degree| Deployment::new(gpu, model, degree));
    deployments.find(|deployment| {
        let blocks = deployment.kv_blocks(BLOCK_TOKENS);
        blocks.is_ok_and(|blocks| blocks >= FEWEST_TOKENS / BLOCK_TOKENS)
    })
}

fn gpu(name: &str) -> Result<&'static Gpu, CliError> {
    let names: Vec<&str> = GPUS.iter().map(|gpu| gpu.name).collect();
    Gpu::by_name(name).ok_or_else(|| {
        CliError::new(format!("unknown GPU `{name}`")).hint(did_you_mean(name, &names))
    })
}

fn model(name: &str) -> Result<&'static Model, CliError> {
    let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
    Model::by_name(name).ok_or_else(|| {
        CliError::new(format!("unknown model `{name}`")).hint(did_you_mean(name, &names))
    })
}
