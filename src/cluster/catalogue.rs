//! GPUs by name: what an hour of each costs.

/// One kind of GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The name in a config's `gpu_type`.
    pub name: &'static str,
    /// Other spellings that are understood.
    pub aliases: &'static [&'static str],
    /// Typical on-demand rental in US dollars an hour, mid-2026; providers differ by half.
    pub usd_per_hour: f64,
    /// Where the price comes from.
    pub source: &'static str,
}

/// Every kind of GPU that `gpu_type` may name.
pub const GPUS: &[Gpu] = &[
    Gpu {
        name: "H100Sxm",
        aliases: &["H100", "h100"],
        usd_per_hour: 2.95,
        source: "AIMultiple GPU index, median of May 2026",
    },
    Gpu {
        name: "A100Sxm80",
        aliases: &["A100", "a100"],
        usd_per_hour: 1.40,
        source: "RunPod 1.39, Mercatus 1.10 to 1.50",
    },
    Gpu { name: "L40S", aliases: &["l40s"], usd_per_hour: 0.90, source: "RunPod 0.79 to 1.40" },
    Gpu {
        name: "H200",
        aliases: &["H200Sxm", "h200"],
        usd_per_hour: 3.60,
        source: "RunPod by deploybase, March 2026, 3.59; Mercatus 2.50 to 4.50",
    },
    Gpu { name: "B200", aliases: &["B200Sxm", "b200"], usd_per_hour: 6.00, source: "RunPod 5.98" },
    Gpu {
        name: "MI300X",
        aliases: &["mi300x"],
        usd_per_hour: 2.50,
        source: "no published source found: a guess",
    },
    Gpu {
        name: "RTX4090",
        aliases: &["rtx4090"],
        usd_per_hour: 0.45,
        source: "RunPod 0.34 to 0.60",
    },
    Gpu {
        name: "RTXPRO6000",
        aliases: &["rtxpro6000"],
        usd_per_hour: 1.40,
        source: "RunPod 0.89 to 1.57",
    },
];

impl Gpu {
    /// Returns the GPU of that name or alias.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        GPUS.iter().find(|gpu| gpu.name == name || gpu.aliases.contains(&name))
    }
}
