# Reads a sweep's CSVs with base R, as a user would, and fails on what would trip one up.
#
#     Rscript tests/r/read_back.R RESULTS
#
# Needs no package.

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) != 1) stop("give the folder of a sweep's results")
results <- arguments[1]
read <- function(name) {
  read.csv(file.path(results, name), na.strings = "", check.names = FALSE)
}
check <- function(condition, what) {
  if (!isTRUE(condition)) stop(paste("read_back:", what), call. = FALSE)
}

runs <- read("runs.csv")
cells <- read("cells.csv")
wide <- read("cells_wide.csv")

# Types: numbers are numbers, texts are texts, what is not known is NA.
for (name in names(runs)) {
  if (grepl("_(ms|rps|tps|ratio|blocks|tokens|count|s|usd)$", name)) {
    check(is.numeric(runs[[name]]) || all(is.na(runs[[name]])), paste("no numbers in", name))
    check(!any(is.nan(runs[[name]])) && !any(is.infinite(runs[[name]])), paste("NaN or Inf in", name))
  }
}
check(is.character(runs$run_id) && is.character(runs$algorithm), "texts are no texts")
check(all(nchar(runs$run_id) == 16), "an id is not 16 digits")
check(!anyDuplicated(runs$run_id), "two runs with one id")
check(is.numeric(runs$seed) && all(runs$seed < 2^53), "a seed that R can't hold")
check(all(runs$draw == match(runs$seed, unique(runs$seed)) - 1), "draws are not the seeds' places")

# The tables agree with one another.
mean_of <- function(metric) {
  own <- cells[cells$metric == metric, ]
  setNames(own$mean, own$cell_id)
}
ours <- mean_of("ttft_p95_ms")
theirs <- tapply(runs$ttft_p95_ms, runs$cell_id, mean, na.rm = TRUE)
check(max(abs(ours - theirs[names(ours)]) / ours) < 1e-12, "a mean of cells is not that of runs")
check(all.equal(unname(ours), wide$ttft_p95_ms_mean, tolerance = 1e-15), "cells_wide differs")
check(nrow(cells) %% nrow(wide) == 0, "cells have different metrics")

# An interval is R's own.
first <- cells[cells$metric == "ttft_p95_ms" & !is.na(cells$ci_lo), ][1, ]
values <- runs$ttft_p95_ms[runs$cell_id == first$cell_id]
interval <- t.test(values)$conf.int
check(max(abs(interval - c(first$ci_lo, first$ci_hi))) < 1e-6 * first$mean, "t.test says otherwise")

if (file.exists(file.path(results, "histograms.csv"))) {
  bins <- read("histograms.csv")
  sums <- tapply(bins$count[bins$metric == "ttft"], bins$run_id[bins$metric == "ttft"], sum)
  finished <- setNames(runs$measured_finished_count, runs$run_id)
  check(all(sums == finished[names(sums)]), "a histogram has not the requests of its run")
  check(all(bins$bin_lo_ms < bins$bin_hi_ms), "a bin without length")
}
if (file.exists(file.path(results, "batches.csv"))) {
  batches <- read("batches.csv")
  own <- batches[batches$metric == "e2e" & batches$count > 0, ]
  weighted <- tapply(own$count * own$mean_ms, own$run_id, sum) / tapply(own$count, own$run_id, sum)
  means <- setNames(runs$e2e_mean_ms, runs$run_id)
  check(max(abs(weighted / means[names(weighted)] - 1)) < 1e-9, "batches have another mean")
}
# What `routesim run --series` wrote, where there is such a run.
of_one_run <- file.path(dirname(normalizePath(results)), "series.csv")
if (file.exists(of_one_run)) {
  series <- read.csv(of_one_run, na.strings = "")
  check(all(series$kv_usage_ratio >= 0 & series$kv_usage_ratio <= 1), "KV usage beyond its bounds")
  both <- series$waiting_count + series$running_count
  check(all(series$outstanding_count == both), "outstanding requests of a series")
  check(!anyDuplicated(series[c("seed", "time_s", "backend")]), "a backend twice at an instant")
  check(nrow(series) %% length(unique(series$backend)) == 0, "an instant without some backend")
}
cat("read_back:", nrow(runs), "runs read by", R.version.string, "\n")
