//! Sets the revision, date and compiler of the build, for `--version` and `metastudio_exporter_build_info`, and renders
//! the documentation for `/docs`.

#[path = "build/docs.rs"]
mod docs;

use std::{env, error::Error, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    docs::build(Path::new("."), Path::new(&env::var("OUT_DIR")?))?;
    for path in docs::FOLDERS.into_iter().chain(docs::FILES).chain([docs::STYLE, "build/docs.rs"]) {
        println!("cargo::rerun-if-changed={path}");
    }
    // An image is built without the repository, and gets the revision in an environment variable.
    let revision = env::var("BUILD_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = revision.or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = output(&env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"]);
    // Reproducible builds set their date (https://reproducible-builds.org/specs/source-date-epoch/).
    let date = match env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => output("date", &["-u", "-d", &format!("@{epoch}"), "+%Y-%m-%dT%H:%M:%SZ"]),
        Err(_) => output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
    };
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo::rustc-env=BUILD_DATE={}", date.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    // Git changes its log of HEAD with every commit and checkout.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    Ok(())
}

/// The first line of the output of a command; `None` if it fails.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
