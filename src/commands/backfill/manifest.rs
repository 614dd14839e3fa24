//! The manifest: the number of samples in each file, and the days that are missing.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Serialize;

use crate::{commands::past::ProjectPast, history::samples};

#[derive(Debug, Serialize)]
pub(super) struct Manifest {
    pub version: u32,
    pub created: String,
    /// The time of the first possible sample, and the first time that is too late.
    pub range: [String; 2],
    pub step_seconds: samples::SampleStep,
    pub samples: u64,
    pub files: Vec<MonthFile>,
    pub projects: Vec<ProjectSummary>,
}

#[derive(Debug, Serialize)]
pub(super) struct MonthFile {
    pub file: String,
    pub month: String,
    pub series: u64,
    pub samples: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ProjectSummary {
    pub project: String,
    requests: u64,
    /// The first day that is whole: the cloud still had usage of an earlier day when this day was asked for.
    first_whole: Option<NaiveDate>,
    too_far_back: Option<NaiveDate>,
    missing: Vec<NaiveDate>,
    /// Why days are missing.
    reason: Option<String>,
}

impl Manifest {
    pub fn paths(&self, output: &Path) -> Vec<PathBuf> {
        self.files.iter().map(|file| output.join(&file.file)).collect()
    }
}

impl ProjectSummary {
    pub fn of(past: &ProjectPast) -> Self {
        let (missing, reason) = past.missing.clone().unzip();
        ProjectSummary {
            project: past.project.name.clone(),
            requests: past.requests,
            first_whole: past.known.first_whole(),
            too_far_back: past.too_far_back,
            missing: missing.unwrap_or_default(),
            reason,
        }
    }
}
