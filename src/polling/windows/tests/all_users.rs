//! `user_ids: all`: whole polls of random services, whose usage may grow with each request.

use super::*;

/// The sub-users of the service. The list may have only some of them.
const ALL: [&str; 5] = ["u0", "u1", "u2", "u3", "u4"];

/// Resource type, business type, unit and minutes of a unit; `None` if the unit is no time.
const TYPES: [(&str, &str, &str, Option<i64>); 4] = [
    ("r0", "VIDEO_2D", "MIN", Some(1)),
    ("r0", "VIDEO_2D", "HOUR", Some(60)),
    ("r1", "LIVE_2D", "MIN", Some(1)),
    ("r1", "LIVE_2D", "GB", None),
];

/// Usage that appears in the answers from one request on.
#[derive(Clone, Debug)]
struct Used {
    /// Seconds before the poll.
    ago: i64,
    of_type: usize,
    /// An index of [`ALL`], or none.
    user: Option<usize>,
    hundredths: i64,
    /// The first request whose answer has it.
    since: usize,
}

#[derive(Clone, Debug)]
struct Growing {
    used: Vec<Used>,
    /// The index of the usage whose row has no value, in all answers.
    without_value: Option<usize>,
    /// How many of [`ALL`] the list has.
    listed: usize,
    now: DateTime<Utc>,
    windows: Vec<Window>,
    ignores_users: bool,
}

/// The requests so far, each with its range and user.
type Asked = Vec<(Bounds, Option<String>)>;

struct Source<'a> {
    world: &'a Growing,
    asked: Mutex<Asked>,
}

/// Sums in hundredths, and the number of rows.
type Sums = BTreeMap<(Measure, &'static str), i64>;

impl Growing {
    /// The usage in a range, as of a request.
    fn in_range(&self, range: Bounds, request: usize) -> impl Iterator<Item = (usize, &Used)> {
        let at = move |used: &Used| self.now - TimeDelta::seconds(used.ago);
        let is_in = move |used: &Used| used.since <= request && range.contains(at(used));
        self.used.iter().enumerate().filter(move |(_, used)| is_in(used))
    }

    /// The exact sums of the wanted usage, by measure and resource type.
    fn sums(&self, range: Bounds, request: usize, is_wanted: impl Fn(&Used) -> bool) -> Sums {
        let mut sums = Sums::new();
        for (_, used) in self.in_range(range, request).filter(|(_, used)| is_wanted(used)) {
            let (resource, _, unit, minutes) = TYPES[used.of_type];
            let measure = minutes.map_or_else(|| Measure::Other(unit.to_owned()), |_| Measure::Minutes);
            *sums.entry((measure, resource)).or_default() += used.hundredths * minutes.unwrap_or(1);
            *sums.entry((Measure::Number, resource)).or_default() += 100;
        }
        sums
    }

    /// Whether the row without a value is in the answer to a request, and belongs to this series.
    fn lacks_value(
        &self,
        range: Bounds,
        request: usize,
        (measure, resource): &(Measure, &str),
        user: Option<usize>,
    ) -> bool {
        let is_key = |used: &Used| {
            let (of, _, _, minutes) = TYPES[used.of_type];
            of == *resource && *measure == minutes.map_or(Measure::Other("GB".to_owned()), |_| Measure::Minutes)
        };
        let is_of = |used: &Used| user.is_none() || used.user == user;
        let mut used = self.in_range(range, request);
        used.any(|(index, used)| self.without_value == Some(index) && is_key(used) && is_of(used))
    }

    /// The list of buckets: hours, which are cut where the range begins.
    fn answer(&self, range: Bounds, user: Option<&str>, request: usize) -> Value {
        let user = user.filter(|_| !self.ignores_users);
        let mut buckets: BTreeMap<DateTime<Utc>, Vec<Value>> = BTreeMap::new();
        for (index, used) in self.in_range(range, request) {
            if user.is_some_and(|user| used.user.map(|index| ALL[index]) != Some(user)) {
                continue;
            }
            let at = self.now - TimeDelta::seconds(used.ago);
            let hour = at - TimeDelta::seconds(at.timestamp().rem_euclid(3600));
            let (resource, business, unit, _) = TYPES[used.of_type];
            let usage = (self.without_value != Some(index)).then(|| decimal(used.hundredths.into()));
            buckets.entry(hour.max(range.start)).or_default().push(json!({
                "resource_type": resource, "business_type": business, "unit": unit, "usage": usage, "number": 1
            }));
        }
        let entry = |(time, rows): (DateTime<Utc>, Vec<Value>)| json!({"time": time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), "resources_usage": rows});
        let list: Vec<Value> = buckets.into_iter().map(entry).collect();
        json!({"count": list.len(), "time_list": list})
    }
}

impl PageSource for Source<'_> {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        request: PageRequest,
        _: Instant,
        _: &AnswerMemory,
        _: &mut Counters,
    ) -> Result<Page, Error> {
        let mut asked = self.asked.lock();
        // All pages of an answer have the usage of its first request.
        let query_asked = (query.range, query.user_id.map(str::to_owned));
        if asked.last() != Some(&query_asked) {
            asked.push(query_asked);
        }
        let answer = self.world.answer(query.range, query.user_id, asked.len() - 1).to_string();
        let mut page = Page::parse(answer.as_bytes()).map_err(|error| Error::Malformed(error.to_string()))?;
        page.buckets = page.buckets.into_iter().skip(request.offset).take(request.limit).collect();
        Ok(page)
    }
}

/// The outcome of a poll, its requests, and the proofs after it.
fn poll(world: &Growing, proofs: Proofs) -> (Result<Complete, Error>, Asked, Proofs) {
    let project = Project { windows: world.windows.clone(), user_ids: ALL_USERS.clone(), ..PROJECT.clone() };
    let ids: Vec<String> = ALL.iter().take(world.listed).map(|id| (*id).to_owned()).collect();
    let source = Source { world, asked: Mutex::default() };
    let query = RangeQuery {
        source: &source,
        project: &project,
        split: Split::of(&project.user_ids, &ids),
        project_id: "p",
        page_size: 1000,
        deadline: Instant::now(),
    };
    let mut progress = Progress { proofs, ..Progress::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(WindowsQuery { query, timezone: &Zone::utc() }.ask(world.now, &mut progress));
    (result, source.asked.into_inner(), progress.proofs)
}

static ALL_USERS: std::sync::LazyLock<Users> = std::sync::LazyLock::new(|| project("user_ids: all").user_ids);

/// The published hundredths of a series; `None` if it is withheld.
fn published(tally: &Tally, (measure, resource): &(Measure, &str), user: Option<&str>) -> Option<i64> {
    let business = TYPES.iter().find(|(of, ..)| of == resource).unwrap().1;
    let series = Series {
        measure: measure.clone(),
        resource_type: (*resource).to_owned(),
        business_type: business.to_owned(),
        user_id: user.map(str::to_owned),
    };
    tally.exact(&series).map(|sum| i64::try_from(sum * rust_decimal::Decimal::from(100)).unwrap())
}

/// All pairs of a measure and a resource type.
fn keys() -> Vec<(Measure, &'static str)> {
    let measures = [Measure::Minutes, Measure::Number, Measure::Other("GB".to_owned())];
    measures.into_iter().flat_map(|measure| ["r0", "r1"].map(|resource| (measure.clone(), resource))).collect()
}

/// Compares the requests for a window with the expected ones. `first` is the index of the first request. Returns their
/// number, without the request that asks for a single user again.
fn compare_queries(world: &Growing, range: Bounds, asked: &Asked, first: usize) -> Result<usize, TestCaseError> {
    prop_assert_eq!(&asked[first], &(range, None), "all users come first");
    // Without usage or without users, the query for all users is the only one.
    let has_usage = world.in_range(range, first).next().is_some();
    let queries = if has_usage { Users::queries_of(world.listed) } else { 1 };
    let mut expected = vec![(range, None)];
    if queries > 1 {
        expected.extend(ALL[..world.listed].iter().map(|id| (range, Some((*id).to_owned()))));
        expected.push((range, None)); // all users come last, too
    }
    prop_assert_eq!(&asked[first..first + queries], &expected);
    Ok(queries)
}

/// Compares a poll with the exact usage at each of its requests.
fn compare(world: &Growing, complete: &Complete, asked: &Asked) -> Result<(), TestCaseError> {
    let listed = &ALL[..world.listed];
    let is_listed = |used: &Used| used.user.is_some_and(|user| user < world.listed);
    let mut next = 0;
    let mut rows = 0;
    for window in &complete.windows {
        let range = window.window.bounds(world.now, &Zone::utc()).elapsed(world.now);
        let before = next;
        rows += world.in_range(range, before).count() as u64;
        let queries = compare_queries(world, range, asked, before)?;
        let end = before + queries - 1;
        next = end + 1;
        // A single user is asked for again until `user_id` is proven to have an effect.
        let is_single = |asked: &(Bounds, Option<String>)| *asked == (range, Some(ALL[0].to_owned()));
        next += usize::from(world.listed == 1 && asked.get(next).is_some_and(is_single));
        let all = [before, end].map(|request| world.sums(range, request, |_| true));
        let rest = [before, end].map(|request| world.sums(range, request, |used| !is_listed(used)));
        for key in keys() {
            let value = |sums: &Sums| sums.get(&key).copied().unwrap_or_default();
            let mut sum = Some(0);
            let mut users_lack = false;
            for (index, id) in listed.iter().enumerate() {
                let request = before + 1 + index;
                let own = published(&window.tally, &key, Some(id));
                if queries == 1 {
                    prop_assert_eq!(own, Some(0));
                    continue;
                }
                let expected = value(&world.sums(range, request, |used| used.user == Some(index)));
                let lacks = world.lacks_value(range, request, &key, Some(index));
                users_lack |= lacks;
                prop_assert_eq!(own, (!lacks).then_some(expected), "{} {:?} {}", window.window, &key, id);
                sum = sum.zip(own).map(|(sum, own)| sum + own);
            }
            let published = published(&window.tally, &key, None);
            if world.lacks_value(range, before, &key, None) || users_lack {
                prop_assert_eq!(published, None, "{} {:?}", window.window, &key);
                prop_assert!(complete.doubts.contains_key(&Doubt::ValueMissing));
                continue;
            }
            let (published, sum) = (published.unwrap(), sum.unwrap());
            prop_assert!(0 <= published && published <= value(&rest[0]), "{published} of {:?}, {key:?}", rest);
            let together = value(&all[0])..=value(&all[1]);
            prop_assert!(together.contains(&(sum + published)), "{sum} and {published} of {together:?}, {key:?}");
            if all[0] == all[1] {
                prop_assert_eq!(published, value(&rest[0]), "nothing has grown");
            }
        }
        if let Some(days) = &window.days {
            let minutes = keys().into_iter().filter(|(measure, _)| *measure == Measure::Minutes);
            let all: i64 = minutes.map(|key| all[0].get(&key).copied().unwrap_or_default()).sum();
            let shown = (days.minutes.iter().sum::<f64>() * 100.0).round() as i64;
            prop_assert!(world.without_value.is_some() || shown == all, "{shown} of {all}");
        }
    }
    prop_assert_eq!(complete.rows, RowCounters { kept: rows, ..RowCounters::default() }, "no row counts twice");
    prop_assert!(asked[next..].iter().all(|(_, user)| user.is_none()), "proofs need no users");
    let users = listed.iter().map(|id| (*id).to_owned()).collect();
    prop_assert_eq!(complete.sub_users.as_ref(), Some(&users));
    Ok(())
}

fn worlds(ignores_users: bool) -> impl Strategy<Value = Growing> {
    let used = (
        prop_oneof![0..86_400_i64, 0..40 * 86_400_i64],
        0..TYPES.len(),
        prop::option::weighted(0.8, 0..ALL.len()),
        1..10_000_i64,
        prop_oneof![3 => Just(0), 1 => 1..30_usize],
    )
        .prop_map(|(ago, of_type, user, hundredths, since)| Used {
            ago: ago + 1,
            of_type,
            user,
            hundredths,
            since,
        });
    let windows: Vec<Window> =
        ["today", "yesterday", "this_month", "30d"].iter().map(|name| name.parse().unwrap()).collect();
    (
        prop::collection::vec(used, 0..40),
        any::<bool>(),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
        0..=ALL.len(),
        // From the second day of a month on, no two of the windows have the same range.
        (2..28_u32, 1..24_u32),
        prop::sample::subsequence(windows, 1..4),
    )
        .prop_map(move |(mut used, grows, missing, listed, (day, hour), windows)| {
            if !grows {
                used.iter_mut().for_each(|used| used.since = 0);
            }
            Growing {
                without_value: missing.filter(|_| !used.is_empty()).map(|index| index.index(used.len())),
                used,
                listed,
                now: Utc.with_ymd_and_hms(2025, 11, day, hour, 0, 0).unwrap(),
                windows,
                ignores_users,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn each_user_is_exact_and_the_rest_takes_nothing_from_a_user(world in worlds(false)) {
        let (result, asked, proofs) = poll(&world, Proofs::default());
        compare(&world, &result.map_err(|error| TestCaseError::fail(error.to_string()))?, &asked)?;
        // A second poll has the proofs of the first one.
        let (result, asked, _) = poll(&world, proofs);
        compare(&world, &result.map_err(|error| TestCaseError::fail(error.to_string()))?, &asked)?;
    }

    #[test]
    fn the_same_answer_for_all_users_is_never_published_as_that_of_each(mut world in worlds(true)) {
        // Usage that appears between two requests could hide that the users are ignored.
        world.used.iter_mut().for_each(|used| used.since = 0);
        world.without_value = None;
        let (result, asked, _) = poll(&world, Proofs::default());
        let has_usage = |window: &Window| {
            let range = window.bounds(world.now, &Zone::utc()).elapsed(world.now);
            world.in_range(range, 0).next().is_some()
        };
        match (world.windows.iter().any(has_usage), world.listed) {
            (false, _) | (true, 0) => prop_assert!(result.is_ok()),
            (true, 1) => {
                let complete = result.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert!(complete.doubts.contains_key(&Doubt::UserWithoutEffect), "{:?}", complete.doubts);
                let whole = world.windows.iter().map(|window| window.bounds(world.now, &Zone::utc()).elapsed(world.now));
                for (window, range) in complete.windows.iter().zip(whole) {
                    let all = world.sums(range, 0, |_| true);
                    for key in keys() {
                        let [own, rest] = [Some(ALL[0]), None].map(|user| published(&window.tally, &key, user).unwrap());
                        prop_assert_eq!((own, rest), (all.get(&key).copied().unwrap_or_default(), 0));
                    }
                }
            }
            (true, _) => {
                let error = result.map(drop).unwrap_err();
                prop_assert!(matches!(error, Error::Inconsistent(_)), "{}", error);
                prop_assert!(error.to_string().contains("ignores user_id"), "{}", error);
                prop_assert!(asked.len() <= world.windows.len() + world.listed + 1, "it is found at the first window");
            }
        }
    }
}

#[test]
fn a_single_user_without_all_usage_is_no_doubt() {
    let of = |user: Option<usize>| Used { ago: 60, of_type: 0, user, hundredths: 100, since: 0 };
    let world = Growing {
        used: vec![of(Some(0)), of(None)],
        without_value: None,
        listed: 1,
        now: Utc.with_ymd_and_hms(2025, 11, 8, 9, 0, 0).unwrap(),
        windows: vec![Window::Today],
        ignores_users: false,
    };
    let (result, asked, proofs) = poll(&world, Proofs::default());
    assert!(result.unwrap().doubts.is_empty());
    assert_eq!(asked.len(), 4, "the user is asked for again, because usage may have grown meanwhile");
    assert!(proofs.users_have_effect);
    assert_eq!(poll(&world, proofs).1.len(), 3, "it is proven once");
    let alone = Growing { used: vec![of(Some(0))], ..world };
    let doubts = poll(&alone, Proofs::default()).0.unwrap().doubts;
    assert_eq!(doubts[&Doubt::UserWithoutEffect], "user u0 has the same usage as all users");
}
