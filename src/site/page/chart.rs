//! The days of a month as a bar chart.

use chrono::Datelike;

use super::number::grouped;
use crate::usage::Days;

/// Distance from the start of one bar to the next, in units of the SVG drawing.
const STEP: usize = 10;
/// Height of the highest bar, in the same units. The axis is below the bars.
const HEIGHT: f64 = 58.0;

/// The minutes of the days of a month.
pub(super) struct Chart {
    pub month: String,
    pub width: u32,
    pub bars: Vec<DayBar>,
    /// The day with the most minutes, and its minutes.
    pub highest: Option<(String, String)>,
}

pub(super) struct DayBar {
    pub x: usize,
    pub y: String,
    pub height: String,
    pub title: String,
}

impl Chart {
    pub fn new(days: &Days) -> Self {
        let date = |day: usize| days.first + chrono::Days::new(day as u64);
        let highest = days.minutes.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let highest = highest.filter(|(_, minutes)| **minutes > 0.0);
        let scale = highest.map_or(0.0, |(_, minutes)| HEIGHT / minutes);
        let bar = |(day, minutes): (usize, &f64)| {
            let height = (minutes * scale).clamp(0.0, HEIGHT);
            DayBar {
                x: day * STEP + 1,
                y: format!("{:.1}", HEIGHT + 1.0 - height),
                height: format!("{height:.1}"),
                title: format!("{}: {}", date(day), grouped(*minutes)),
            }
        };
        Chart {
            month: days.first.format("%Y-%m").to_string(),
            width: u32::from(days.first.num_days_in_month()) * STEP as u32,
            bars: days.minutes.iter().enumerate().map(bar).collect(),
            highest: highest.map(|(day, minutes)| (date(day).to_string(), grouped(*minutes))),
        }
    }
}
