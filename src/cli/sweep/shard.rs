//! Which part of a sweep a process does.

use std::str::FromStr;

use crate::cli::error::CliError;
use crate::sweep::Shard;

/// What `--shard` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardArg {
    Given(Shard),
    /// By the variables that array jobs set.
    Auto,
}

/// The variables of an array job: index, count, and the least index where it may not be 0.
const ARRAYS: [(&str, &str, Option<&str>); 4] = [
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", Some("SLURM_ARRAY_TASK_MIN")),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", None),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", None),
    ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT", None),
];

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let wrong = || "give INDEX/COUNT, counted from 0 (0/4 to 3/4), or `auto`".to_owned();
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let index = index.parse().map_err(|_| wrong())?;
        let count = count.parse().map_err(|_| wrong())?;
        shard(index, count).map(Self::Given).ok_or_else(wrong)
    }
}

/// Finds out which part is meant.
#[expect(
    clippy::disallowed_methods,
    reason = "array jobs say it in variables; results don't depend on it"
)]
pub(super) fn resolve(arg: ShardArg) -> Result<Shard, CliError> {
    match arg {
        ShardArg::Given(shard) => Ok(shard),
        ShardArg::Auto => detect(|name| std::env::var(name).ok()),
    }
}

fn detect(get: impl Fn(&str) -> Option<String>) -> Result<Shard, CliError> {
    let whole = |name: &str| -> Result<Option<usize>, CliError> {
        let Some(text) = get(name) else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| CliError::new(format!("{name}={text} is no whole number")))
    };
    for (index_name, count_name, least_name) in ARRAYS {
        let Some(index) = whole(index_name)? else { continue };
        let Some(count) = whole(count_name)? else {
            let message = format!("--shard auto: {index_name} is set, {count_name} is not");
            return Err(CliError::new(message).hint("set it to the number of tasks"));
        };
        let least = least_name.map_or(Ok(None), whole)?.unwrap_or(0);
        let own = index.checked_sub(least).and_then(|index| shard(index, count));
        return own.ok_or_else(|| {
            let message = format!(
                "--shard auto: task {index} of {count} from {least} on: the tasks have gaps"
            );
            CliError::new(message).hint("number the tasks one after another")
        });
    }
    let names: Vec<&str> = ARRAYS.iter().map(|(index, ..)| *index).collect();
    let message = format!("--shard auto: none of {} is set", names.join(", "));
    Err(CliError::new(message).hint("give --shard INDEX/COUNT"))
}

/// The most shards: each has one run or more of the largest grid.
const MOST_SHARDS: usize = 1_000_000;

fn shard(index: usize, count: usize) -> Option<Shard> {
    (index < count && count <= MOST_SHARDS).then_some(Shard { index, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(variables: &[(&str, &str)]) -> Result<Shard, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        detect(get).map_err(|error| error.message)
    }

    #[test]
    fn array_jobs_say_which_part_a_task_does() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "3"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
        ];
        assert_eq!(detected(&slurm), Ok(Shard { index: 2, count: 4 }));
        let aws = [("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")];
        assert_eq!(detected(&aws), Ok(Shard { index: 0, count: 2 }));
        let gaps = [("SLURM_ARRAY_TASK_ID", "9"), ("SLURM_ARRAY_TASK_COUNT", "4")];
        assert!(detected(&gaps).unwrap_err().contains("gaps"));
        let unknown = [("JOB_COMPLETION_INDEX", "0")];
        assert!(detected(&unknown).unwrap_err().contains("JOB_COMPLETIONS is not"));
        assert!(detected(&[]).unwrap_err().contains("none of"));
    }

    #[test]
    fn a_shard_is_one_of_as_many() {
        assert_eq!("0/1".parse(), Ok(ShardArg::Given(Shard::WHOLE)));
        assert_eq!("2/3".parse(), Ok(ShardArg::Given(Shard { index: 2, count: 3 })));
        assert_eq!("auto".parse(), Ok(ShardArg::Auto));
        for wrong in ["3/3", "1", "a/2", "1/0", "-1/2", ""] {
            assert!(wrong.parse::<ShardArg>().is_err(), "{wrong}");
        }
    }
}
