//! The known days of a project, and which of their sums can be trusted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Months, NaiveDate, Utc};
use rust_decimal::Decimal;

use crate::usage::{
    Bounds, Doubt, Doubts, Measure, Revision, SETTLED_AFTER, Series, Settling, Tally, Zone, first_of_month,
};

/// The complete usage of a project on one local day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// The time when the cloud was asked last.
    pub asked: DateTime<Utc>,
    /// The time of the first request that the cloud answered with this usage.
    pub since: DateTime<Utc>,
    /// How often the usage has changed before.
    pub revisions: u32,
    /// The usage of the configured users, or of all users if none are configured. With `user_ids: all`, the series
    /// without a user have the usage that no sub-user accounts for.
    pub tally: Tally,
    /// If the configuration lists users: the usage of all users, without their ids.
    pub all_users: Option<Tally>,
    /// The doubts about the usage.
    pub doubts: Doubts,
}

impl Day {
    /// A day that is asked for at this time.
    pub fn new(asked: DateTime<Utc>, tally: Tally, all_users: Option<Tally>, doubts: Doubts) -> Self {
        Day { asked, since: asked, revisions: 0, tally, all_users, doubts }
    }

    /// Whether the usage may belong to another range. Such a day is in no sum.
    pub fn is_misaligned(&self) -> bool {
        [Doubt::Misaligned, Doubt::UnreadableTime].iter().any(|doubt| self.doubts.contains_key(doubt))
    }

    fn has_rows(&self) -> bool {
        self.tally.parts().next().is_some()
    }

    /// The sums that show whether usage has changed. With `user_ids: all`, a user may enter or leave the list. Then
    /// usage moves between the series of the user and the series without a user, so the sums are those of all users.
    fn comparable(&self) -> [Tally; 2] {
        match &self.all_users {
            Some(all) => [self.tally.clone(), all.clone()],
            // This does not overflow: the same usage was added up for all users before it was split.
            None => [self.tally.without_users().unwrap_or_default(), Tally::default()],
        }
    }

    fn has_usage_of(&self, other: &Day) -> bool {
        self.comparable() == other.comparable()
    }

    /// Whether a series has less usage than in `before`.
    fn has_less_than(&self, before: &Day) -> bool {
        before.comparable().iter().zip(self.comparable()).any(|(before, now)| before.larger_than(&now).is_some())
    }

    fn lacks_values(&self) -> bool {
        let lacks = |tally: &Tally| tally.incomplete().next().is_some();
        lacks(&self.tally) || self.all_users.as_ref().is_some_and(lacks)
    }

    /// The minutes of all series; `None` if one lacks a value.
    fn minutes(&self) -> Option<Decimal> {
        let mut minutes = self.tally.series().filter(|series| series.measure == Measure::Minutes);
        minutes.try_fold(Decimal::ZERO, |sum, series| sum.checked_add(self.tally.exact(series)?))
    }
}

/// The days of a project that are known.
///
/// A cloud may forget old usage: the oldest first, silently, and perhaps in the middle of a day. So a day is whole only
/// if the cloud still had usage of an earlier day when it answered for this day, or later.
#[derive(Clone, Debug)]
pub struct KnownDays {
    zone: Zone,
    days: BTreeMap<NaiveDate, Day>,
    used_before: UsedBefore,
    /// The days that are whole.
    whole: BTreeSet<NaiveDate>,
    /// Newer answers that have less usage than the known day. They wait for a proof that the cloud has not forgotten
    /// the rest.
    unproven: BTreeMap<NaiveDate, Day>,
}

/// Proofs that the cloud had not forgotten earlier usage. Each has a day and a time. When it was asked at this time,
/// the cloud had usage from before this day.
pub type UsedBefore = BTreeMap<NaiveDate, DateTime<Utc>>;

/// The changes by new answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedDays {
    /// The days as they are known now.
    pub days: BTreeMap<NaiveDate, Day>,
    /// The days whose usage has changed.
    pub revisions: Vec<Revision>,
}

impl KnownDays {
    /// The days of a project in this zone.
    pub fn new(zone: Zone, days: BTreeMap<NaiveDate, Day>, used_before: UsedBefore) -> Self {
        let mut known = KnownDays { zone, days, used_before, whole: BTreeSet::new(), unproven: BTreeMap::new() };
        known.find_whole();
        known
    }

    /// The zone of the days.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// A day.
    pub fn get(&self, day: NaiveDate) -> Option<&Day> {
        self.days.get(&day)
    }

    /// Adds the answers for some days. If an answer has less usage than the known day, the cloud may have forgotten the
    /// rest. Such an answer waits until usage of an earlier day proves that it is whole.
    pub fn extend(&mut self, days: BTreeMap<NaiveDate, Day>) -> ChangedDays {
        self.unproven.extend(days);
        self.take_proven()
    }

    /// Notes that the cloud had usage before `day` when it was asked.
    pub fn note_used_before(&mut self, day: NaiveDate, asked: DateTime<Utc>) -> ChangedDays {
        self.used_before.insert(day, asked);
        self.find_whole();
        self.take_proven()
    }

    /// Takes the answers that are proven, or need no proof.
    fn take_proven(&mut self) -> ChangedDays {
        let mut changes = ChangedDays::default();
        // The earliest first: it may be the proof of the next one.
        for (date, answer) in std::mem::take(&mut self.unproven) {
            let Some(day) = self.renewed(date, &answer) else {
                self.unproven.insert(date, answer);
                continue;
            };
            if let Some(before) = self.days.get(&date).filter(|before| before.revisions < day.revisions) {
                changes.revisions.push(Revision { day: date, minutes: [before.minutes(), day.minutes()] });
            }
            changes.days.insert(date, day.clone());
            self.days.insert(date, day);
        }
        self.find_whole();
        changes
    }

    /// The state of a day after another answer; `None` if the answer has less usage and is not proven to be whole.
    fn renewed(&self, date: NaiveDate, answer: &Day) -> Option<Day> {
        let Some(before) = self.days.get(&date) else { return Some(answer.clone()) };
        match (before.is_misaligned(), answer.is_misaligned()) {
            (true, false) => return Some(Day { revisions: before.revisions, ..answer.clone() }),
            // The answer says nothing about this day.
            (false, true) => return Some(before.clone()),
            _ if answer.lacks_values() && !before.lacks_values() => return Some(before.clone()),
            _ => {}
        }
        if before.has_usage_of(answer) {
            // A kept day has the users of the list at that time, so the doubt about that list stays with it.
            let not_listed = |day: &Day| day.doubts.get(&Doubt::UsersNotListed).cloned();
            if not_listed(before).is_some() && not_listed(answer).is_none() {
                return Some(Day { since: before.since, revisions: before.revisions, ..answer.clone() });
            }
            let mut doubts = answer.doubts.clone();
            doubts.remove(&Doubt::UsersNotListed);
            doubts.extend(not_listed(before).map(|seen| (Doubt::UsersNotListed, seen)));
            return Some(Day { asked: answer.asked, doubts, ..before.clone() });
        }
        let is_whole = || self.asked_of_earlier(date) >= Some(answer.since);
        (!answer.has_less_than(before) || is_whole()).then(|| Day { revisions: before.revisions + 1, ..answer.clone() })
    }

    /// The last time at which the cloud had usage of a day before `date`.
    fn asked_of_earlier(&self, date: NaiveDate) -> Option<DateTime<Utc>> {
        let facts = self.used_before.range(..=date).map(|(_, asked)| *asked);
        facts.chain(self.days.range(..date).filter(|(_, day)| day.has_rows()).map(|(_, day)| day.asked)).max()
    }

    /// The first day with an answer that waits for a proof that it is whole; `None` if there is none.
    pub fn first_unproven(&self) -> Option<NaiveDate> {
        self.unproven.keys().next().copied()
    }

    /// Finds the days that are whole.
    fn find_whole(&mut self) {
        let mut facts = self.used_before.iter().peekable();
        // The last time at which the cloud had usage of an earlier day.
        let mut asked_of_earlier = None;
        self.whole.clear();
        for (date, day) in &self.days {
            while let Some((_, asked)) = facts.next_if(|(before, _)| *before <= date) {
                asked_of_earlier = asked_of_earlier.max(Some(*asked));
            }
            if asked_of_earlier >= Some(day.since) {
                self.whole.insert(*date);
            }
            if day.has_rows() {
                asked_of_earlier = asked_of_earlier.max(Some(day.asked));
            }
        }
    }

    /// The first day that is whole.
    pub fn first_whole(&self) -> Option<NaiveDate> {
        self.whole.first().copied()
    }

    /// Whether a day is known and whole.
    pub fn is_whole(&self, day: NaiveDate) -> bool {
        self.whole.contains(&day)
    }

    /// The usage from `first` to the day before `end`; `None` if one of these days is not known, not whole or
    /// [misaligned](Day::is_misaligned).
    pub fn sum(&self, first: NaiveDate, end: NaiveDate) -> Option<Tally> {
        let mut sum = Tally::default();
        for day in happened(first, end, &self.zone) {
            let trusted = self.days.get(&day).filter(|known| self.is_whole(day) && !known.is_misaligned())?;
            sum.merge(&trusted.tally).ok()?;
        }
        Some(sum)
    }

    /// The same days, with the sums of all users together. With `user_ids: all`, the list of users may differ from day
    /// to day, so the series of a user has no value on some days.
    #[must_use]
    pub fn without_users(&self) -> Self {
        let mut days = self.clone();
        days.days.retain(|_, day| match day.tally.without_users() {
            Ok(together) => {
                day.tally = together;
                true
            }
            // A sum beyond the range of decimals is not known.
            Err(_) => false,
        });
        days
    }

    /// For each series, the first day with a value.
    pub fn first_seen(&self) -> BTreeMap<&Series, NaiveDate> {
        let mut seen = BTreeMap::new();
        for (date, day) in &self.days {
            for series in day.tally.series() {
                seen.entry(series).or_insert(*date);
            }
        }
        seen
    }

    /// Whether a day is known, and its usage had not changed for [a week](SETTLED_AFTER) when the cloud was asked last.
    pub fn has_settled(&self, date: NaiveDate) -> bool {
        self.days.get(&date).is_some_and(|day| day.asked >= self.still_since(date, day) + SETTLED_AFTER)
    }

    /// The end of a day, or the time of the last change after it.
    fn still_since(&self, date: NaiveDate, day: &Day) -> DateTime<Utc> {
        let end = Bounds::of_day(date, &self.zone).end;
        if day.revisions > 0 { end.max(day.since) } else { end }
    }

    /// How the known days change and settle. The number and the last time of revisions are those of all known days. All
    /// other values are those of the days from `first` to the day before `end`.
    pub fn settling(&self, first: NaiveDate, end: NaiveDate) -> Settling {
        let mut settling = Settling::default();
        for (date, day) in self.days.iter().filter(|(_, day)| day.revisions > 0) {
            settling.revisions += u64::from(day.revisions);
            settling.last_revision = settling.last_revision.max(Some(day.since));
            let delay = day.since - Bounds::of_day(*date, &self.zone).end;
            settling.longest = settling.longest.max(Some(delay).filter(|_| (first..end).contains(date)));
        }
        let has_settled = |date: &NaiveDate| self.has_settled(*date);
        let last_settled = happened(first, end, &self.zone).take_while(has_settled).last();
        settling.settled_until = last_settled.map(|date| Bounds::of_day(date, &self.zone).end);
        let latest = self.days.range(first..end.max(first)).next_back();
        settling.latest = latest.map(|(date, day)| (*date, day.asked - self.still_since(*date, day)));
        settling
    }
}

/// The days from `first` to the day before `end`, without days that the zone skipped.
pub fn happened(first: NaiveDate, end: NaiveDate, zone: &Zone) -> impl Iterator<Item = NaiveDate> {
    let has_happened = |day: &NaiveDate| {
        let Bounds { start, end } = Bounds::of_day(*day, zone);
        start < end
    };
    first.iter_days().take_while(move |day| *day < end).filter(has_happened)
}

/// The first day of the next month.
pub fn next_month(day: NaiveDate) -> NaiveDate {
    first_of_month(day) + Months::new(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::usage::{Row, RowKey, Unit};

    /// A day of a month, such as `2025-11-03`.
    pub fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// A day with a row for each pair of a type and its minutes.
    pub fn day(rows: &[(&str, &str)]) -> Day {
        let mut day = Day::default();
        for (business_type, minutes) in rows {
            let key = RowKey { business_type: (*business_type).into(), unit: Unit::Minutes, ..RowKey::default() };
            day.tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: None }, None).unwrap();
        }
        day
    }

    pub fn known(zone: &str, days: &[(&str, Day)]) -> KnownDays {
        let days = days.iter().map(|(text, day)| (date(text), day.clone())).collect();
        KnownDays::new(zone.parse().unwrap(), days, UsedBefore::new())
    }

    #[test]
    fn a_day_is_whole_if_there_is_usage_before() {
        let empty = Day::default();
        let mut known = known(
            "UTC",
            &[
                ("2025-11-01", empty.clone()),
                ("2025-11-02", day(&[("V", "1")])),
                ("2025-11-03", empty),
                ("2025-11-04", day(&[("V", "0.5")])),
                ("2025-11-06", day(&[("V", "7")])),
            ],
        );
        let sum = |known: &KnownDays, first: &str, end: &str| {
            let tally = known.sum(date(first), date(end))?;
            Some(tally.parts().filter_map(|(_, sum, _)| sum).map(|sum| sum.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(known.first_whole(), Some(date("2025-11-03")));
        assert_eq!(sum(&known, "2025-11-02", "2025-11-05"), None, "the cloud may have forgotten a part of the second");
        assert_eq!(sum(&known, "2025-11-03", "2025-11-05").as_deref(), Some("0.5"));
        assert_eq!(sum(&known, "2025-11-04", "2025-11-07"), None, "the fifth is not known");
        known.note_used_before(date("2025-11-01"), DateTime::UNIX_EPOCH);
        known.note_used_before(date("2025-11-09"), DateTime::UNIX_EPOCH);
        assert_eq!(sum(&known, "2025-11-01", "2025-11-05").as_deref(), Some("1.5"));
        let mut doubted = day(&[("V", "1")]);
        doubted.doubts.insert(Doubt::Misaligned, String::new());
        known.extend([(date("2025-11-07"), doubted)].into());
        assert!(known.is_whole(date("2025-11-07")));
        assert_eq!(sum(&known, "2025-11-07", "2025-11-08"), None);
    }

    #[test]
    fn a_user_who_comes_or_goes_does_not_change_the_usage_of_a_day() {
        let split = |minutes: &[(Option<&str>, &str)], asked: &str| {
            let mut day = Day { asked: asked.parse().unwrap(), since: asked.parse().unwrap(), ..Day::default() };
            for (user, minutes) in minutes {
                let key = RowKey { unit: Unit::Minutes, ..RowKey::default() };
                day.tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: None }, *user).unwrap();
            }
            day
        };
        let first = split(&[(Some("a"), "4"), (None, "6")], "2025-11-02T12:00:00Z");
        let mut known = known("UTC", &[("2025-11-01", first.clone())]);
        let date = date("2025-11-01");
        let other = split(&[(Some("b"), "1"), (None, "9")], "2025-11-02T18:00:00Z");
        let ChangedDays { days, revisions } = known.extend([(date, other.clone())].into());
        assert_eq!((revisions.len(), known.first_unproven()), (0, None));
        assert_eq!(days[&date], Day { asked: other.asked, ..first }, "the first list stays");
        // More usage is a revision, and has the users of the new list.
        let more = split(&[(Some("b"), "1"), (None, "9.5")], "2025-11-03T00:00:00Z");
        let changes = known.extend([(date, more.clone())].into());
        assert_eq!(
            changes.revisions,
            [Revision { day: date, minutes: [10.into(), "10.5".parse().ok().unwrap()].map(Some) }]
        );
        assert_eq!(known.get(date).unwrap().tally, more.tally);
        // Less usage must be proven.
        let less = split(&[(Some("b"), "9"), (None, "1")], "2025-11-03T06:00:00Z");
        assert!(known.extend([(date, less)].into()).revisions.is_empty());
        assert_eq!(known.first_unproven(), Some(date));
        assert_eq!(known.get(date).unwrap().tally, more.tally);
    }

    /// The rows of a user and of the rest, with the doubt if the sub-users were not listed.
    fn split_day(asked: &str, users: &[(Option<&str>, i64)], is_listed: bool) -> Day {
        let mut day = Day { asked: asked.parse().unwrap(), since: asked.parse().unwrap(), ..Day::default() };
        for (user, minutes) in users {
            let key = RowKey { unit: Unit::Minutes, ..RowKey::default() };
            day.tally.add(&Row { key, usage: Some((*minutes).into()), number: None }, *user).unwrap();
        }
        if !is_listed {
            day.doubts.insert(Doubt::UsersNotListed, "403".to_owned());
        }
        day
    }

    #[test]
    fn the_doubt_about_the_list_stays_with_the_users_of_the_day() {
        let date = date("2025-11-01");
        let listed = split_day("2025-11-02T12:00:00Z", &[(Some("a"), 4), (None, 6)], true);
        let unlisted = split_day("2025-11-02T18:00:00Z", &[(None, 10)], false);
        let mut known_days = known("UTC", &[("2025-11-01", listed.clone())]);
        known_days.extend([(date, unlisted.clone())].into());
        assert_eq!(known_days.get(date).unwrap(), &Day { asked: unlisted.asked, ..listed.clone() });
        let mut known_days = known("UTC", &[("2025-11-01", Day { revisions: 2, ..unlisted.clone() })]);
        let later = Day { asked: "2025-11-03T00:00:00Z".parse().unwrap(), ..listed };
        known_days.extend([(date, later.clone())].into());
        let expected = Day { since: unlisted.since, revisions: 2, ..later };
        assert_eq!(known_days.get(date).unwrap(), &expected, "the users are known now");
    }

    #[test]
    fn without_users_all_days_have_the_same_series() {
        let days = [
            ("2025-11-01", split_day("2025-11-05T00:00:00Z", &[(Some("a"), 4), (None, 6)], true)),
            ("2025-11-02", split_day("2025-11-05T00:00:00Z", &[(Some("b"), 1), (None, 2)], true)),
        ];
        let known_days = known("UTC", &days);
        assert_eq!(known_days.first_seen().len(), 3, "a, b and the rest");
        let together = known_days.without_users();
        let seen = together.first_seen();
        let [(series, _)] = seen.iter().collect::<Vec<_>>()[..] else { panic!("{seen:?}") };
        assert_eq!(series.user_id, None);
        let minutes = |text| together.get(date(text)).unwrap().tally.value(series);
        assert_eq!([minutes("2025-11-01"), minutes("2025-11-02")], [Some(10.0), Some(3.0)]);
    }

    #[test]
    fn usage_that_was_there_long_ago_proves_nothing_of_a_day_that_is_asked_for_now() {
        let asked = |text: &str| text.parse().unwrap();
        let at = |time: &str, rows: &[(&str, &str)]| Day { asked: asked(time), since: asked(time), ..day(rows) };
        let (february, december) = ("2025-02-01T00:00:00Z", "2025-12-01T00:00:00Z");
        let mut known = known(
            "UTC",
            &[
                ("2025-01-30", at(february, &[("V", "1")])),
                ("2025-01-31", at(february, &[("V", "1")])),
                // Meanwhile, the cloud has forgotten the usage until 1 February, and perhaps a part of 2 February.
                ("2025-02-01", at(december, &[])),
                ("2025-02-02", at(december, &[("V", "1")])),
                ("2025-02-03", at(december, &[("V", "1")])),
            ],
        );
        let whole = |known: &KnownDays| known.whole.iter().map(NaiveDate::to_string).collect::<Vec<_>>();
        assert_eq!(whole(&known), ["2025-01-31", "2025-02-03"]);
        known.note_used_before(date("2025-01-01"), asked(february));
        assert_eq!(whole(&known), ["2025-01-30", "2025-01-31", "2025-02-03"]);
        known.note_used_before(date("2025-02-02"), asked(december));
        assert_eq!(whole(&known), ["2025-01-30", "2025-01-31", "2025-02-02", "2025-02-03"]);
    }

    fn answer(asked: &str, minutes: &str) -> Day {
        let asked = asked.parse().unwrap();
        Day { asked, since: asked, ..day(&[("V", minutes)]) }
    }

    fn minutes(known: &KnownDays, text: &str) -> String {
        known.get(date(text)).unwrap().minutes().unwrap().to_string()
    }

    /// The cloud's answers at a time, by day. Returns the revisions.
    fn ask(known: &mut KnownDays, asked: &str, days: &[(&str, &str)]) -> Vec<String> {
        let answers = days.iter().map(|(day, minutes)| (date(day), answer(asked, minutes)));
        texts(known.extend(answers.collect()))
    }

    fn texts(changes: ChangedDays) -> Vec<String> {
        let known = |Revision { day, minutes: [before, after] }| Some(format!("{day} {} {}", before?, after?));
        changes.revisions.into_iter().filter_map(known).collect()
    }

    fn settling(known: &KnownDays) -> Settling {
        known.settling(date("2026-11-02"), date("2026-11-30"))
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_that_changes_is_a_revision() {
        let mut known = known("UTC", &[]);
        let revisions = ask(&mut known, "2026-11-04T02:00:00Z", &[("2026-11-02", "5"), ("2026-11-03", "412")]);
        assert!(revisions.is_empty());
        let latest = Some((date("2026-11-03"), TimeDelta::hours(2)));
        assert_eq!(settling(&known), Settling { latest, ..Settling::default() });
        let revisions = ask(&mut known, "2026-11-05T03:00:00Z", &[("2026-11-02", "5"), ("2026-11-03", "431")]);
        assert_eq!(revisions, ["2026-11-03 412 431"]);
        let seen = time("2026-11-05T03:00:00Z");
        let expected = Settling {
            revisions: 1,
            last_revision: Some(seen),
            longest: Some(TimeDelta::hours(27)),
            settled_until: None,
            latest: Some((date("2026-11-03"), TimeDelta::zero())),
        };
        assert_eq!(settling(&known), expected);
        // 2 November has settled a week after its end, and 3 November a week after its revision.
        for (asked, settled) in [
            ("2026-11-09T23:00:00Z", None),
            ("2026-11-10T00:00:00Z", Some("2026-11-03T00:00:00Z")),
            ("2026-11-12T02:00:00Z", Some("2026-11-03T00:00:00Z")),
            ("2026-11-12T03:00:00Z", Some("2026-11-04T00:00:00Z")),
        ] {
            let revisions = ask(&mut known, asked, &[("2026-11-02", "5"), ("2026-11-03", "431")]);
            assert!(revisions.is_empty());
            let latest = Some((date("2026-11-03"), time(asked) - seen));
            let expected = Settling { settled_until: settled.map(time), latest, ..expected.clone() };
            assert_eq!(settling(&known), expected, "{asked}");
        }
    }

    #[test]
    fn an_answer_with_less_usage_must_be_whole() {
        let mut known = known("UTC", &[]);
        let days = [("2026-11-02", "5"), ("2026-11-03", "7"), ("2026-11-04", "9")];
        ask(&mut known, "2026-11-05T02:00:00Z", &days);
        // The cloud has forgotten a day, and a part of the next one.
        assert!(ask(&mut known, "2026-11-06T02:00:00Z", &[("2026-11-03", "6")]).is_empty());
        assert_eq!(known.get(date("2026-11-03")), Some(&answer("2026-11-05T02:00:00Z", "7")));
        assert_eq!(known.first_unproven(), Some(date("2026-11-03")));
        assert!(ask(&mut known, "2026-11-06T02:00:00Z", &[("2026-11-04", "9")]).is_empty());
        assert!(known.is_whole(date("2026-11-04")), "its answer is the one that was whole before");
        // The cloud has usage of an earlier day, so it has forgotten nothing of this day.
        let changes = known.note_used_before(date("2026-11-03"), time("2026-11-06T02:00:00Z"));
        assert_eq!(changes.days.len(), 1);
        assert_eq!((texts(changes), known.first_unproven()), (vec!["2026-11-03 7 6".to_owned()], None));
        assert_eq!(ask(&mut known, "2026-11-07T02:00:00Z", &[("2026-11-03", "8")]), ["2026-11-03 6 8"], "more");
        // The newest day comes first, and the day before it is the proof.
        assert!(ask(&mut known, "2026-11-08T02:00:00Z", &[("2026-11-04", "1")]).is_empty());
        assert_eq!(ask(&mut known, "2026-11-08T02:00:00Z", &[("2026-11-03", "8")]), ["2026-11-04 9 1"]);
    }

    #[test]
    fn the_usage_of_all_users_counts_as_well() {
        let of_all = |asked: &str, all: &str| {
            let Day { tally, .. } = answer(asked, all);
            Day { all_users: Some(tally), ..answer(asked, "1") }
        };
        let mut known = known("UTC", &[("2026-11-03", of_all("2026-11-05T02:00:00Z", "7"))]);
        known.extend([(date("2026-11-03"), of_all("2026-11-06T02:00:00Z", "6"))].into());
        assert_eq!(known.first_unproven(), Some(date("2026-11-03")));
        let changes = known.note_used_before(date("2026-11-01"), time("2026-11-06T02:00:00Z"));
        assert_eq!(texts(changes), ["2026-11-03 1 1"]);
    }

    #[test]
    fn an_answer_that_lacks_a_value_replaces_none() {
        let mut lacking = answer("2026-11-06T02:00:00Z", "7");
        let series = lacking.tally.series().next().unwrap().clone();
        lacking.tally.add_part(series, None, true);
        let mut known = known("UTC", &[("2026-11-03", answer("2026-11-05T02:00:00Z", "7"))]);
        assert!(known.extend([(date("2026-11-03"), lacking.clone())].into()).revisions.is_empty());
        assert_eq!(minutes(&known, "2026-11-03"), "7");
        known.extend([(date("2026-11-04"), lacking)].into());
        assert_eq!(ask(&mut known, "2026-11-07T02:00:00Z", &[("2026-11-04", "7")]).len(), 0, "no number before");
    }

    #[test]
    fn an_answer_that_may_be_of_another_range_is_no_revision() {
        let misaligned = |asked: &str, minutes: &str| Day {
            doubts: [(Doubt::Misaligned, String::new())].into(),
            ..answer(asked, minutes)
        };
        let mut known = known("UTC", &[("2026-11-03", answer("2026-11-05T02:00:00Z", "7"))]);
        let changes = known.extend([(date("2026-11-03"), misaligned("2026-11-06T02:00:00Z", "9"))].into());
        assert!(changes.revisions.is_empty());
        assert_eq!(known.get(date("2026-11-03")), Some(&answer("2026-11-05T02:00:00Z", "7")));
        known.extend([(date("2026-11-04"), misaligned("2026-11-06T02:00:00Z", "9"))].into());
        assert!(ask(&mut known, "2026-11-07T02:00:00Z", &[("2026-11-04", "1")]).is_empty());
        assert_eq!(known.get(date("2026-11-04")), Some(&answer("2026-11-07T02:00:00Z", "1")));
    }

    #[test]
    fn days_that_never_happened_are_left_out() {
        let apia: Zone = "Pacific/Apia".parse().unwrap();
        let days: Vec<_> = happened(date("2011-12-29"), date("2012-01-01"), &apia).collect();
        assert_eq!(days, [date("2011-12-29"), date("2011-12-31")]);
        assert_eq!(next_month(date("2011-12-29")), date("2012-01-01"));
    }
}
