//! The order of the requests: each one depends on what the earlier ones have shown.

use chrono::{DateTime, Days, TimeDelta, Utc};

use super::{
    findings::{Counted, Halves, LimitCounts, LongestRange, Newest, OffsetStart, UnitEffect, Unknown, UserEffect},
    paging::{self, MAX_LIMIT, OffsetReading},
    probes::{Probe, Probes},
    report::{Answers, Findings},
    times, values,
};
use crate::{
    cloud::usage_api::{PageRequest, PageSource, wire::Page},
    usage::{Bounds, Unit, Zone},
};

/// The list for most questions covers so many days. A shorter list is taken if a longer one is refused or cut.
const LIST_DAYS: [u32; 3] = [31, 7, 2];
/// The days of longer ranges.
const LONG_DAYS: [u32; 2] = [366, 92];
/// To learn how far back answers reach, weeks that ended so many days ago are asked for.
const OLD_DAYS: [u32; 5] = [31, 92, 183, 366, 1096];
const LAST_HOURS: [u32; 6] = [1, 3, 6, 12, 24, 72];
/// An offset past the end of any list here. It is below 10,000, because search engines refuse larger offsets.
const PAST_END: usize = 9_000;

/// The list of a range, and what requests for parts of it have shown.
struct RangeList {
    range: Bounds,
    page: Page,
    /// Pages with a lower limit.
    parts: Vec<Page>,
    limit_counts: Result<LimitCounts, Unknown>,
    offset_counts: Result<Counted, Unknown>,
    offset_start: Result<OffsetStart, Unknown>,
    /// The length of `page`, and whether it is the whole list.
    length: Result<Length, Unknown>,
}

/// The number of entries on a page for the largest limit, and whether nothing follows them.
type Length = (usize, bool);

impl RangeList {
    /// The list, if it is whole.
    fn whole(&self) -> Result<&Page, Unknown> {
        match self.length {
            Ok((_, true)) => Ok(&self.page),
            Err(Unknown::Stopped) => Err(Unknown::Stopped),
            Ok((_, false)) | Err(_) => Err(Unknown::Incomplete),
        }
    }
}

fn days_until(end: DateTime<Utc>, days: u32) -> Bounds {
    Bounds { start: end - TimeDelta::days(days.into()), end }
}

/// Asks all questions about one project.
pub async fn ask_all(probes: &mut Probes<'_, impl PageSource>, now: DateTime<Utc>, zone: &Zone) -> Findings {
    let mut findings = Findings::default();
    // Without yesterday: its usage may still grow, and would then differ between two requests.
    let today = zone.local(now).date_naive();
    let end = zone.midnight(today.checked_sub_days(Days::new(1)).unwrap_or(today));
    match ask_list(probes, end).await {
        Ok((list, longest, lengths)) => {
            conclude(&list, &mut findings);
            ask_longer(probes, &list, longest, lengths, &mut findings).await;
            let past_end = PageRequest { limit: 1, offset: PAST_END };
            let answer = probes.ask(Probe { page: past_end, ..Probe::whole(list.range) }).await;
            findings.past_end = paging::past_end(&list.page, &answer).into();
            ask_halves(probes, &list, &mut findings).await;
            findings.unit = ask_unit(probes, &list).await.into();
            findings.user_id = ask_users(probes, &list).await.into();
            findings.newest = ask_newest(probes, &list.page, now).await.into();
        }
        Err(reason) => findings = Findings::all(reason),
    }
    let future = Bounds { start: end, end: now + TimeDelta::days(1) };
    findings.future_end = times::acceptance(&probes.ask(Probe::whole(future)).await).into();
    let mut ages = Vec::new();
    for days in OLD_DAYS {
        let week = days_until(end - TimeDelta::days(days.into()), 7);
        let answer = probes.ask(Probe::whole(week)).await;
        ages.push((days, answer.map(|page| times::has_usage(&page, week))));
    }
    findings.reach = times::reach(&ages).into();
    findings
}

/// Asks for shorter and shorter lists until one is whole. Also returns the lengths of all lists that were asked for.
async fn ask_list(
    probes: &mut Probes<'_, impl PageSource>,
    end: DateTime<Utc>,
) -> Result<(RangeList, LongestRange, Vec<Length>), Unknown> {
    let mut refused_days = None;
    let mut lengths = Vec::new();
    let mut found: Option<(RangeList, LongestRange)> = None;
    for days in LIST_DAYS {
        let range = days_until(end, days);
        let page = match probes.ask(Probe::whole(range)).await {
            Err(Unknown::Refused) => {
                refused_days = Some(days);
                continue;
            }
            answer => answer?,
        };
        if paging::rows(&page).next().is_none() {
            break;
        }
        let list = ask_parts(probes, range, page).await;
        let is_cut = matches!(list.length, Ok((_, false)));
        lengths.extend(list.length);
        let longest = found.map_or(LongestRange { accepted_days: days, refused_days }, |(_, longest)| longest);
        found = Some((list, longest));
        if !is_cut {
            break;
        }
    }
    let (list, longest) =
        found.ok_or(if refused_days == LIST_DAYS.last().copied() { Unknown::Refused } else { Unknown::NoUsage })?;
    Ok((list, longest, lengths))
}

/// Asks for parts of a list, to learn how it is paged.
async fn ask_parts(probes: &mut Probes<'_, impl PageSource>, range: Bounds, page: Page) -> RangeList {
    let mut parts = Vec::new();
    let limit_counts = ask_limit(probes, range, &page, &mut parts).await;
    let fitting = ask_offset(probes, range, &page, &mut parts).await;
    let offset_counts =
        fitting.as_ref().map_err(|reason| *reason).and_then(|fitting| paging::offset_counts(&page, fitting));
    let offset_start = fitting.and_then(|fitting| paging::offset_start(&fitting));
    let length = if parts.iter().any(|part| paging::items(part) == paging::items(&page)) {
        // The service ignores limit and offset.
        Ok((page.buckets.len(), true))
    } else {
        ask_length(probes, range, &page, offset_counts, offset_start).await
    };
    RangeList { range, page, parts, limit_counts, offset_counts, offset_start, length }
}

async fn ask_limit(
    probes: &mut Probes<'_, impl PageSource>,
    range: Bounds,
    page: &Page,
    parts: &mut Vec<Page>,
) -> Result<LimitCounts, Unknown> {
    let limit = paging::telling_limit(page)?;
    let part = probes.ask(Probe { page: PageRequest { limit, offset: 0 }, ..Probe::whole(range) }).await?;
    let counts = paging::limit_counts(page, limit, &part);
    parts.push(part);
    counts
}

async fn ask_offset(
    probes: &mut Probes<'_, impl PageSource>,
    range: Bounds,
    page: &Page,
    parts: &mut Vec<Page>,
) -> Result<Vec<OffsetReading>, Unknown> {
    let request = paging::telling_offset(page)?;
    let part = probes.ask(Probe { page: request, ..Probe::whole(range) }).await?;
    let fitting = paging::fitting_readings(page, request, &part);
    parts.push(part);
    Ok(fitting)
}

/// Asks for the last entry of a page again, to learn whether anything follows it.
async fn ask_length(
    probes: &mut Probes<'_, impl PageSource>,
    range: Bounds,
    page: &Page,
    offset_counts: Result<Counted, Unknown>,
    offset_start: Result<OffsetStart, Unknown>,
) -> Result<Length, Unknown> {
    let counted = paging::entries_of(page, offset_counts)?;
    let length = paging::entries(page, counted);
    if length >= MAX_LIMIT {
        return Ok((length, false));
    }
    let request = PageRequest { limit: MAX_LIMIT, offset: paging::offset_of_last(page, counted, offset_start?)? };
    let rest = probes.ask(Probe { page: request, ..Probe::whole(range) }).await?;
    Ok((length, paging::is_whole(page, counted, &rest)?))
}

/// Answers the questions that need no further request.
fn conclude(list: &RangeList, findings: &mut Findings) {
    findings.limit_counts = list.limit_counts.into();
    findings.offset_counts = list.offset_counts.into();
    findings.offset_start = list.offset_start.into();
    let parts: Vec<&Page> = list.parts.iter().collect();
    findings.count_counts = list.whole().and_then(|page| paging::count_counts(page, &parts)).into();
    findings.time_format = times::format(&list.page).into();
    findings.order = times::order(&list.page).into();
    findings.number = values::number(&list.page).into();
}

/// Asks for longer ranges. They have more buckets and more entries than the list.
async fn ask_longer(
    probes: &mut Probes<'_, impl PageSource>,
    list: &RangeList,
    mut longest: LongestRange,
    mut lengths: Vec<Length>,
    findings: &mut Findings,
) {
    let mut longer = None;
    let may_be_longer = longest.refused_days.is_none();
    for days in LONG_DAYS.into_iter().filter(|_| may_be_longer) {
        let range = days_until(list.range.end, days);
        match probes.ask(Probe::whole(range)).await {
            Ok(page) => {
                longest.accepted_days = days;
                longer = Some((range, page));
                break;
            }
            Err(Unknown::Refused) => longest.refused_days = Some(days),
            Err(_) => {}
        }
    }
    findings.longest_range = Ok(longest).into();
    let mut lists = vec![(list.range, &list.page)];
    if let Some((range, page)) = &longer {
        lists.push((*range, page));
        lengths.extend(ask_length(probes, *range, page, list.offset_counts, list.offset_start).await);
    }
    findings.limit_cap = paging::cap(&lengths).into();
    let width = times::width(&lists);
    findings.bucket_width = width.into();
    findings.bucket_zone = times::zone(&lists, width).into();
}

async fn ask_halves(probes: &mut Probes<'_, impl PageSource>, list: &RangeList, findings: &mut Findings) {
    let middle = times::middle(list.range, &list.page);
    let first = Bounds { end: middle, ..list.range };
    let answer = probes.ask(Probe::whole(first)).await;
    let is_included = |page| times::range_end(&list.page, middle, page);
    findings.range_end = answer.as_ref().map_err(|reason| *reason).and_then(is_included).into();
    findings.halves = compare_halves(probes, list, first, answer).await.into();
}

async fn compare_halves(
    probes: &mut Probes<'_, impl PageSource>,
    list: &RangeList,
    first: Bounds,
    answer: Result<Page, Unknown>,
) -> Result<Halves, Unknown> {
    let whole = values::sums(list.whole()?, list.range)?;
    let one = values::sums(&answer?, first)?;
    let second = Bounds { start: first.end, ..list.range };
    let two = values::sums(&probes.ask(Probe::whole(second)).await?, second)?;
    let again = values::sums(&probes.ask(Probe::whole(list.range)).await?, list.range)?;
    values::halves(&whole, [&one, &two], &again)
}

async fn ask_unit(probes: &mut Probes<'_, impl PageSource>, list: &RangeList) -> Result<UnitEffect, Unknown> {
    let page = list.whole()?;
    let unit = values::telling_unit(page)?;
    let name = if unit == Unit::Hours { "HOUR" } else { "MIN" };
    let answer = probes.ask(Probe { unit: Some(name), ..Probe::whole(list.range) }).await;
    values::unit_effect(page, &unit, &answer)
}

async fn ask_users(probes: &mut Probes<'_, impl PageSource>, list: &RangeList) -> Result<UserEffect, Unknown> {
    let user_ids = probes.users()?;
    let all = values::sums(list.whole()?, list.range)?;
    let mut users = Vec::new();
    for user_id in &user_ids {
        let answer = probes.ask(Probe { user_id: Some(user_id), ..Probe::whole(list.range) }).await?;
        users.push(values::sums(&answer, list.range)?);
    }
    values::user_effect(&all, &users)
}

async fn ask_newest(
    probes: &mut Probes<'_, impl PageSource>,
    list: &Page,
    now: DateTime<Utc>,
) -> Result<Newest, Unknown> {
    let mut last_hours = Vec::new();
    for hours in LAST_HOURS {
        let range = Bounds { start: now - TimeDelta::hours(hours.into()), end: now };
        let has_usage = times::has_usage(&probes.ask(Probe::whole(range)).await?, range);
        last_hours.push((hours, has_usage));
        if has_usage {
            break;
        }
    }
    times::newest(list, &last_hours)
}

#[cfg(test)]
mod tests;
