//! GPUs by name: memory, speed, link and price, each with its source.

/// A number and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The number, in the unit that its field names.
    pub value: f64,
    /// Where it was published, and what was done to it.
    pub source: &'static str,
}

/// One kind of GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The name in a config's `gpu_type`.
    pub name: &'static str,
    /// Other spellings that are understood.
    pub aliases: &'static [&'static str],
    /// Memory that a process sees, in 2³⁰ bytes: less than the name of the card says.
    pub memory_gib: Figure,
    /// Memory bandwidth of the data sheet, in 10¹² bytes/s.
    pub bandwidth_tb_s: Figure,
    /// Dense bf16 tensor throughput of the data sheet, in 10¹² FLOP/s.
    pub bf16_tflops: Figure,
    /// The same for fp8; none where the tensor cores have no fp8.
    pub fp8_tflops: Option<Figure>,
    /// The share of the bandwidth that reading weights reaches.
    pub bandwidth_share: Figure,
    /// The share of the tensor throughput that large matrix products reach.
    pub compute_share: Figure,
    /// What connects the GPUs of one engine.
    pub link: Link,
    /// Typical on-demand rental in US dollars an hour, mid-2026; providers differ by half.
    pub usd_per_hour: Figure,
}

/// What connects the GPUs of a tensor-parallel group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// In words.
    pub name: &'static str,
    /// The all-reduce of 2, 4 and 8 GPUs.
    pub all_reduce: [AllReduce; 3],
    /// Where the all-reduce figures come from.
    pub source: &'static str,
}

/// What an all-reduce takes: a latency, and bytes over a bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AllReduce {
    /// Microseconds of the smallest message.
    pub latency_us: f64,
    /// Bytes of the message, in 10⁹ a second.
    pub gb_s: f64,
}

/// Every kind of GPU that `gpu_type` may name.
pub const GPUS: &[Gpu] = &[
    Gpu {
        name: "H100Sxm",
        aliases: &["H100", "h100"],
        memory_gib: figure(79.11, "out-of-memory message in vllm-project/vllm issue 27508"),
        bandwidth_tb_s: figure(3.35, "AIConfigurator h100_sxm.yaml, BLIS hardware_config.json"),
        bf16_tflops: figure(989.0, "AIConfigurator h100_sxm.yaml, BLIS hardware_config.json"),
        fp8_tflops: Some(figure(1_979.0, "AIConfigurator h100_sxm.yaml")),
        bandwidth_share: figure(0.81, KERNELS),
        compute_share: figure(0.803, MATMUL),
        link: Link { name: "NVLink 4, 450 GB/s each way", ..NVLINK_4 },
        usd_per_hour: figure(2.95, "AIMultiple GPU index, median of May 2026"),
    },
    Gpu {
        name: "A100Sxm80",
        aliases: &["A100", "a100"],
        memory_gib: figure(79.15, "out-of-memory messages of A100 SXM 80 GB, 79.14 to 79.35"),
        bandwidth_tb_s: figure(2.039, "AIConfigurator a100_sxm.yaml, BLIS hardware_config.json"),
        bf16_tflops: figure(312.0, "AIConfigurator a100_sxm.yaml, BLIS hardware_config.json"),
        fp8_tflops: None,
        bandwidth_share: figure(0.78, KERNELS),
        compute_share: figure(0.869, MATMUL),
        link: Link {
            name: "NVLink 3, 300 GB/s each way",
            all_reduce: all_reduce(5.3, [200.0, 151.0, 164.0]),
            source: "two thirds of the H100's bandwidth, as the links are; not measured",
        },
        usd_per_hour: figure(1.40, "RunPod 1.39, Mercatus 1.10 to 1.50"),
    },
    Gpu {
        name: "L40S",
        aliases: &["l40s"],
        memory_gib: figure(44.39, "out-of-memory messages of L40S with ECC"),
        bandwidth_tb_s: figure(0.864, "AIConfigurator l40s.yaml, BLIS hardware_config.json"),
        bf16_tflops: figure(362.05, "AIConfigurator l40s.yaml, BLIS hardware_config.json"),
        fp8_tflops: Some(figure(733.0, "AIConfigurator l40s.yaml; twice that is with sparsity")),
        bandwidth_share: figure(0.87, KERNELS),
        compute_share: figure(
            0.743,
            "best bf16 matrix product, 269.15 TFLOP/s: zzc0721/torch-performance-test-data issue 43",
        ),
        link: PCIE,
        usd_per_hour: figure(0.90, "RunPod 0.79 to 1.40"),
    },
    Gpu {
        name: "H200",
        aliases: &["H200Sxm", "h200"],
        memory_gib: figure(139.8, "out-of-memory messages of H200"),
        bandwidth_tb_s: figure(4.8, "AIConfigurator h200_sxm.yaml"),
        bf16_tflops: figure(989.0, "AIConfigurator h200_sxm.yaml"),
        fp8_tflops: Some(figure(1_978.0, "AIConfigurator h200_sxm.yaml")),
        bandwidth_share: figure(0.84, KERNELS),
        compute_share: figure(0.803, MATMUL),
        link: Link { name: "NVLink 4, 450 GB/s each way", ..NVLINK_4 },
        usd_per_hour: figure(3.60, "RunPod by deploybase, March 2026, 3.59; Mercatus 2.50 to 4.50"),
    },
    Gpu {
        name: "B200",
        aliases: &["B200Sxm", "b200"],
        memory_gib: figure(178.35, "out-of-memory messages of B200"),
        bandwidth_tb_s: figure(7.7, "AIConfigurator b200_sxm.yaml"),
        bf16_tflops: figure(2_250.0, "AIConfigurator b200_sxm.yaml"),
        fp8_tflops: Some(figure(4_500.0, "AIConfigurator b200_sxm.yaml")),
        bandwidth_share: figure(0.775, KERNELS),
        compute_share: figure(0.776, MATMUL),
        link: Link {
            name: "NVLink 5, 900 GB/s each way",
            source: "the H100's, as small messages gain little from faster links; not measured",
            ..NVLINK_4
        },
        usd_per_hour: figure(6.00, "RunPod 5.98"),
    },
    Gpu {
        name: "MI300X",
        aliases: &["mi300x"],
        memory_gib: figure(191.69, "out-of-memory messages of MI300X"),
        bandwidth_tb_s: figure(5.3, "AMD data sheet"),
        bf16_tflops: figure(1_307.4, "AMD data sheet"),
        fp8_tflops: Some(figure(2_614.9, "AMD data sheet")),
        bandwidth_share: figure(0.80, "no kernel table: the mean of H100, H200, A100 and B200"),
        compute_share: figure(0.514, MATMUL),
        link: Link {
            name: "Infinity Fabric, 7 links of 64 GB/s",
            all_reduce: all_reduce(5.3, [45.0, 134.0, 314.0]),
            source: "70 % of the 1, 3 or 7 links between so many GPUs; not measured",
        },
        usd_per_hour: figure(2.50, "no published source found: a guess"),
    },
    Gpu {
        name: "RTX4090",
        aliases: &["rtx4090"],
        memory_gib: figure(23.517, "25,250,627,584 bytes seen by PyTorch: LLMServingSim, bench"),
        bandwidth_tb_s: figure(1.008, "LLMServingSim hardware configuration"),
        bf16_tflops: figure(165.2, "NVIDIA Ada white paper, FP32 accumulation"),
        fp8_tflops: Some(figure(330.3, "NVIDIA Ada white paper, FP32 accumulation")),
        bandwidth_share: figure(
            0.914,
            "921 GB/s read: krrishnarraj/clpeak issue 106; 923 GB/s copied: \
             tinygrad/open-gpu-kernel-modules issue 6",
        ),
        compute_share: figure(
            0.998,
            "best bf16 matrix product, 164.81 TFLOP/s: zzc0721/torch-performance-test-data issue \
             78; the card runs above the clock of its data sheet",
        ),
        link: PCIE,
        usd_per_hour: figure(0.45, "RunPod 0.34 to 0.60"),
    },
    Gpu {
        name: "RTXPRO6000",
        aliases: &["rtxpro6000"],
        memory_gib: figure(94.97, "out-of-memory messages of RTX PRO 6000 Blackwell"),
        bandwidth_tb_s: figure(
            1.597,
            "Server Edition, LLMServingSim hardware configuration; the Workstation card has 1.792",
        ),
        bf16_tflops: figure(467.8, "AIConfigurator rtx_pro_6000_server.yaml"),
        fp8_tflops: Some(figure(935.6, "AIConfigurator rtx_pro_6000_server.yaml")),
        bandwidth_share: figure(
            0.857,
            "two AIConfigurator kernel tables as above, over the 1.792 TB/s that they state",
        ),
        compute_share: figure(
            0.892,
            "best bf16 matrix product, 417.34 TFLOP/s: zzc0721/torch-performance-test-data issue \
             162",
        ),
        link: PCIE,
        usd_per_hour: figure(1.40, "RunPod 0.89 to 1.57"),
    },
];

/// How `bandwidth_share` follows from kernel tables.
const KERNELS: &str = "AIConfigurator's vLLM kernel tables: step of one token of Qwen3-32B less \
                       twice that of Llama-3.1-8B, over the same difference of weights";

/// How `compute_share` was measured.
const MATMUL: &str = "best bf16 matrix product found over many shapes: stas00/ml-engineering, \
                      maximum achievable matmul FLOPS";

const NVLINK_4: Link = Link {
    name: "NVLink 4",
    all_reduce: all_reduce(5.3, [300.0, 227.0, 246.0]),
    source: "AIConfigurator custom_allreduce table of the H100; its latency is 4.3 to 6.4 us",
};

const PCIE: Link = Link {
    name: "PCIe, no peer to peer",
    all_reduce: all_reduce(20.0, [15.0, 8.0, 5.3]),
    source: "AIConfigurator custom_allreduce table of the RTX PRO 6000 for vLLM 0.19 at 2 GPUs; 4 \
             and 8 scaled as its table for vLLM 0.24",
};

impl Gpu {
    /// Returns the GPU of that name or alias.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        GPUS.iter().find(|gpu| gpu.name == name || gpu.aliases.contains(&name))
    }
}

const fn figure(value: f64, source: &'static str) -> Figure {
    Figure { value, source }
}

const fn all_reduce(latency_us: f64, gb_s: [f64; 3]) -> [AllReduce; 3] {
    [
        AllReduce { latency_us, gb_s: gb_s[0] },
        AllReduce { latency_us, gb_s: gb_s[1] },
        AllReduce { latency_us, gb_s: gb_s[2] },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_gpus_share_a_name() {
        let names = GPUS.iter().flat_map(|gpu| gpu.aliases.iter().chain([&gpu.name]));
        let mut names: Vec<&&str> = names.collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn shares_are_shares() {
        for gpu in GPUS {
            for share in [gpu.bandwidth_share, gpu.compute_share] {
                assert!((0.4..=1.0).contains(&share.value), "{}: {share:?}", gpu.name);
            }
            let fp8 = gpu.fp8_tflops.map_or(2.0 * gpu.bf16_tflops.value, |fp8| fp8.value);
            let twice = fp8 / gpu.bf16_tflops.value;
            assert!((1.95..=2.05).contains(&twice), "{}: dense fp8 is twice bf16", gpu.name);
        }
    }
}
