//! Sends the files to VictoriaMetrics. Then counts the samples there, because VictoriaMetrics answers 204 even if it
//! keeps none of them.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::{fs, time::sleep};

use super::manifest::Manifest;
use crate::{commands::print, exposition::RECORDED_WINDOWS, usage::Bounds};

/// The time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(300);

/// New samples can be found after a second or two. If they are searched for earlier, VictoriaMetrics keeps the empty
/// result for ten seconds.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// Parses the address. The paths of the API come after it.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let expected = "expected an address such as http://victoria-metrics:8428";
    let url: Url = text.trim_end_matches('/').parse().map_err(|_| expected)?;
    let is_base = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if is_base { Ok(url) } else { Err(expected.to_owned()) }
}

/// Sends the files one after the other. Returns whether VictoriaMetrics has every sample.
///
/// # Errors
/// A file is refused, or there is no answer.
pub(super) async fn push(url: &Url, files: &[PathBuf], manifest: &Manifest, range: Bounds) -> anyhow::Result<bool> {
    let client = Client::builder().timeout(TIMEOUT).build()?;
    for file in files {
        let body = fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))?;
        let failed = || format!("--push: cannot send {}", file.display());
        let request = client.post(at(url, "/api/v1/import/prometheus")?).body(body);
        let response = request.send().await.map_err(reqwest::Error::without_url).with_context(failed)?;
        if !response.status().is_success() {
            bail!("{}: HTTP {}", failed(), response.status());
        }
    }
    // Makes new samples searchable at once. If this fails, the loop below waits longer for them.
    let _ = client.post(at(url, "/internal/force_flush")?).send().await;
    // Otherwise, queries get cached answers without the new samples.
    let reset = client.post(at(url, "/internal/resetRollupResultCache")?).send().await;
    if !reset.is_ok_and(|response| response.status().is_success()) {
        tracing::warn!(
            "--push: the cache of query results could not be reset; recent results may lack the new samples"
        );
    }
    let projects: Vec<&str> = manifest.projects.iter().map(|project| project.project.as_str()).collect();
    let (mut stored, expected) = (0, manifest.samples);
    for _ in 0..ATTEMPTS {
        stored = count(&client, url, &projects, range).await?;
        if stored >= expected {
            break;
        }
        sleep(PAUSE).await;
    }
    print(&format!("\nVictoriaMetrics has {stored} of {expected} samples\n"))?;
    if stored < expected {
        tracing::error!(
            "VictoriaMetrics has {stored} samples, and {expected} were sent: its -retentionPeriod, one month by default, \
             must cover the whole time"
        );
    } else if stored > expected {
        tracing::warn!("VictoriaMetrics has more samples than were sent now: an earlier backfill has sent them, too");
    }
    Ok(stored >= expected)
}

fn at(url: &Url, path: &str) -> anyhow::Result<Url> {
    let mut target = url.clone();
    target.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    Ok(target)
}

/// A series of the export: one line of JSON.
#[derive(Deserialize)]
struct Exported {
    timestamps: Vec<i64>,
}

/// The number of samples of these projects in the range.
async fn count(client: &Client, url: &Url, projects: &[&str], range: Bounds) -> anyhow::Result<u64> {
    let names = projects.iter().map(|name| pattern(name)).collect::<Vec<_>>().join("|");
    let usage = format!("{{__name__=~\"metastudio_usage_.+\",instance=\"backfill\",project=~\"{names}\"}}");
    let windows = RECORDED_WINDOWS.map(|window| window.to_string()).join("|");
    let recorded = format!("{{__name__=~\"project:metastudio_usage_minutes:({windows})\",project=~\"{names}\"}}");
    let (start, end) = (range.start.timestamp().to_string(), (range.end.timestamp() - 1).to_string());
    let mut target = at(url, "/api/v1/export")?;
    let parameters = [("match[]", &*usage), ("match[]", &*recorded), ("start", &*start), ("end", &*end)];
    target.query_pairs_mut().extend_pairs(parameters);
    let response = client.get(target).send().await.and_then(reqwest::Response::error_for_status);
    let text =
        response.map_err(reqwest::Error::without_url).context("--push: cannot count the samples")?.text().await?;
    let mut samples = 0;
    for line in text.lines() {
        let series: Exported = serde_json::from_str(line).context("--push: VictoriaMetrics sent no export")?;
        samples += series.timestamps.len() as u64;
    }
    Ok(samples)
}

/// A name as a regular expression in a selector.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for character in name.chars() {
        if !character.is_alphanumeric() && character.is_ascii() {
            pattern.push_str("\\\\");
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_base() {
        let path = |text: &str| at(&parse_url(text).unwrap(), "/api").unwrap().to_string();
        assert_eq!(path("http://vm:8428"), "http://vm:8428/api");
        assert_eq!(path("https://u:p@vm/insert/0/prometheus/"), "https://u:p@vm/insert/0/prometheus/api");
        for wrong in ["vm:8428", "ftp://vm", "http://vm/?a=b", ""] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(pattern("a.b-ü\""), "a\\\\.b\\\\-ü\\\\\"");
    }
}
