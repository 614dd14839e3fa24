//! Makes blocks with promtool and compares the number of samples, because promtool exits with 0 even if it drops
//! samples.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use tokio::task::spawn_blocking;

use super::manifest::Manifest;
use crate::commands::print;

/// The longest block. promtool reads the whole file again for each block: with its default, blocks of two hours, it
/// would run for hours. promtool rounds this value down to 486 hours.
pub(super) const MAX_DURATION: &str = "744h";

/// Makes the blocks of all files, in the directory `blocks` of the output. Returns whether promtool stored every
/// sample. If promtool is not installed, logs a warning and returns true.
///
/// # Errors
/// promtool fails, or there are blocks already.
pub(super) async fn verify(output: &Path, files: &[PathBuf], manifest: &Manifest) -> anyhow::Result<bool> {
    let blocks = output.join("blocks");
    if fs::read_dir(&blocks).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("--verify: {} has blocks of an earlier run; move or delete them", blocks.display());
    }
    let mut stored = 0;
    for file in files {
        let mut promtool = Command::new("promtool");
        promtool.args(["tsdb", "create-blocks-from", &format!("--max-block-duration={MAX_DURATION}"), "openmetrics"]);
        promtool.arg(file).arg(&blocks);
        let output = match spawn_blocking(move || promtool.output()).await? {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("--verify: promtool was not found, so the files are not verified");
                return Ok(true);
            }
            output => output.context("cannot run promtool")?,
        };
        if !output.status.success() {
            bail!("promtool, {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        stored += samples(&String::from_utf8_lossy(&output.stdout));
    }
    let expected = manifest.samples;
    print(&format!("\npromtool stored {stored} of {expected} samples in {}\n", blocks.display()))?;
    if stored != expected {
        tracing::error!("promtool stored {stored} samples, and {expected} were written: do not use these blocks");
    }
    Ok(stored == expected)
}

/// The sum of the column NUM SAMPLES.
fn samples(table: &str) -> u64 {
    let is_block = |words: &Vec<&str>| words.first().is_some_and(|id| id.len() == 26) && words.len() >= 8;
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(is_block);
    rows.filter_map(|words| words.get(4)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_over_all_blocks() {
        let table = "\
BLOCK ULID                  MIN TIME       MAX TIME       DURATION     NUM SAMPLES  NUM CHUNKS   NUM SERIES   SIZE
01KB9Z3Q0V1M8Y6T0J9R3C2X4D  1761926400000  1763672400001  485h0m0.001s 12           3            3            2113
01KB9Z3Q2K1M8Y6T0J9R3C2X4D  1763676000000  1764511200001  232h0m0.001s 30           3            3            2113
";
        assert_eq!(samples(table), 42);
        assert_eq!(samples(""), 0);
    }
}
