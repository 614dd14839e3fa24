//! The effect of a new configuration on a project or account that stays: whether it is polled at once, and whether the
//! usage or the packages that are known are still valid.

use std::collections::BTreeSet;

use crate::{
    config::{Account, Config, Project},
    usage::{ProjectQuery, Window},
};

/// The change of a project, ordered from the smallest effect to the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// No change.
    Unchanged,
    /// Labels, budgets or staleness: the way in which usage is shown. It causes no poll.
    Display,
    /// Interval, credentials or API settings: the way in which the cloud is queried. The project is polled at once.
    /// Its known usage stays until then, because the query is the same.
    Access,
    /// The query itself. The known usage is removed at once, because a wrong number is worse than none.
    Query,
}

impl Change {
    /// Compares a project with the project of the same name in another configuration. The contents of environment
    /// variables and secret files are not compared.
    pub fn between((before, old): (&Config, &Project), (after, new): (&Config, &Project)) -> Self {
        // Every field is named, so that a new one cannot be forgotten.
        let Project {
            name: _,
            region,
            credentials,
            labels,
            user_ids,
            interval,
            stale_after,
            windows,
            budgets,
            collect,
            collects_all,
            // These are parts of the query.
            endpoint: _,
            project_id,
            app_user_id: _,
            resource_types: _,
            business_types: _,
        } = new;
        let is_same_source = *credentials == old.credentials
            && after.credentials.get(credentials) == before.credentials.get(credentials);
        // A looked-up id depends on the credentials, the region and the IAM endpoint.
        let is_same_look_up =
            *region == old.region && is_same_source && after.api.iam_endpoint == before.api.iam_endpoint;
        let is_same_query = new.query() == old.query()
            && (project_id.is_some() || is_same_look_up)
            && names(windows) == names(&old.windows)
            && after.timezone == before.timezone;
        let is_same_access = *region == old.region
            && is_same_source
            && *interval == old.interval
            && *collect == old.collect
            && user_ids.all() == old.user_ids.all()
            && after.poll.timeout == before.poll.timeout
            && after.api == before.api;
        let is_same_display = *labels == old.labels
            && *stale_after == old.stale_after
            && *budgets == old.budgets
            && after.shared_budgets(&new.name).eq(before.shared_budgets(&old.name))
            && *collects_all == old.collects_all
            && after.collectors.packages.series == before.collectors.packages.series
            && after.collectors.sub_users.series == before.collectors.sub_users.series
            && after.collectors.sessions.max_duration == before.collectors.sessions.max_duration;
        match (is_same_query, is_same_access, is_same_display) {
            (false, ..) => Change::Query,
            (true, false, _) => Change::Access,
            (true, true, false) => Change::Display,
            (true, true, true) => Change::Unchanged,
        }
    }

    /// Compares an account with the account of the same name in another configuration, as [`Self::between`] compares
    /// projects.
    pub fn between_accounts((before, old): (&Config, &Account), (after, new): (&Config, &Account)) -> Self {
        let is_same_source = after.credentials.get(&new.credentials) == before.credentials.get(&new.credentials);
        // Without a configured id, IAM decides which account it is.
        let is_same_account = new.domain_id.is_some() || new.iam_endpoint(&after.api) == old.iam_endpoint(&before.api);
        let is_same_access = after.api == before.api
            && after.poll.timeout == before.poll.timeout
            && after.collectors.billing.interval == before.collectors.billing.interval;
        match (new == old && is_same_source && is_same_account, is_same_access) {
            (false, _) => Change::Query,
            (true, false) => Change::Access,
            (true, true) => Change::Unchanged,
        }
    }

    /// Whether a project keeps its poller, or an account its collector, with the place in the schedule.
    pub fn keeps_poller(self) -> bool {
        self <= Change::Display
    }

    /// Whether the known usage of a project, or the known packages of an account, stay.
    pub fn keeps_known(self) -> bool {
        self <= Change::Access
    }
}

/// The query of a project as a text that is equal for equal queries, also after a restart. It holds no secret. `None`
/// if the project's id is looked up: after a restart, the same configuration may then find another project.
pub fn query_text(config: &Config, project: &Project) -> Option<String> {
    let ProjectQuery { endpoint, project_id, user_ids, app_user_id, resource_types, business_types } = project.query();
    let (windows, zone) = (names(&project.windows), config.timezone.to_string());
    let all_users = if user_ids.is_none() { ", all sub-users" } else { "" };
    let user_ids = user_ids.unwrap_or_default();
    let query = (endpoint, project_id?, windows, zone, user_ids, app_user_id, resource_types, business_types);
    Some(format!("{query:?}{all_users}"))
}

/// The names of windows, without an order.
fn names(windows: &[Window]) -> BTreeSet<String> {
    windows.iter().map(Window::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, load_text};

    const BEFORE: &str = "
poll: {interval: 5m, timeout: 60s, concurrency: 8, stale_after: 15m}
windows: [today, this_month]
collect: [packages, sub_users, sessions, reconciliation]
collectors: {packages: {interval: 30m, series: 10}, sub_users: {series: 5}, sessions: {max_duration: 9h}}
timezone: Asia/Shanghai
api: {page_size: 1000, requests_per_second: 5, proxy: 'http://user:one@proxy.example:3128'}
credentials: {main: {access_key: one, secret_key: one}, other: {token: other}}
projects:
  - {name: before, region: cn-north-4, project_id: a0, credentials: main}
  - {name: studio, region: cn-north-4, project_id: a1, credentials: main, labels: {team: one}, user_ids: [one],
     app_user_id: one, resource_types: [one], business_types: [one]}
";

    async fn config(text: &str) -> Config {
        let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &Environment::default()).await;
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn studio(config: &Config) -> (&Config, &Project) {
        (config, config.projects.iter().find(|project| project.name == "studio").unwrap())
    }

    /// With another text, an update of the exporter would forget the usage that was kept.
    #[tokio::test]
    async fn the_text_of_a_query_stays_the_same() {
        let types = "resource_types: [two, one], business_types: [one]";
        let listed = BEFORE.replace("resource_types: [one], business_types: [one]", types);
        let all = listed.replace("user_ids: [one]", "user_ids: all");
        for (text, users) in [
            (&listed, r#"{"one"}, Some("one"), {"one", "two"}, {"one"})"#),
            (&all, r#"{}, Some("one"), {"one", "two"}, {"one"}), all sub-users"#),
        ] {
            let config = config(text).await;
            let expected = r#"("https://metastudio.cn-north-4.myhuaweicloud.com", "a1", {"this_month", "today"}, "#;
            let expected = format!("{expected}\"Asia/Shanghai\", {users}");
            assert_eq!(query_text(&config, studio(&config).1), Some(expected));
        }
    }

    #[tokio::test]
    async fn each_key_has_its_effect() {
        let before = config(BEFORE).await;
        for (from, to, change) in [
            ("name: before, ", "name: another, ", Change::Unchanged),
            ("  - {name: before, region: cn-north-4, project_id: a0, credentials: main}\n", "", Change::Unchanged),
            ("concurrency: 8", "concurrency: 2", Change::Unchanged),
            ("token: other", "token: another", Change::Unchanged),
            ("interval: 5m", "interval: 300s", Change::Unchanged),
            ("windows: [today, this_month]", "windows: [this_month, today]", Change::Unchanged),
            ("labels: {team: one}", "labels: {team: two}", Change::Display),
            ("stale_after: 15m", "stale_after: 20m", Change::Display),
            ("project_id: a1", "project_id: a1, budgets: [{window: today, minutes: 5}]", Change::Display),
            (
                "projects:\n",
                "budgets: [{name: b, projects: [studio], window: today, minutes: 5}]\nprojects:\n",
                Change::Display,
            ),
            ("series: 10", "series: 20", Change::Display),
            ("series: 5", "series: 20", Change::Display),
            ("max_duration: 9h", "max_duration: 10h", Change::Display),
            ("collect: [packages, sub_users, sessions, reconciliation]", "collect: all", Change::Display),
            ("interval: 5m", "interval: 6m", Change::Access),
            ("interval: 30m", "interval: 1h", Change::Access),
            ("collect: [packages, sub_users, sessions, reconciliation]", "collect: [packages]", Change::Access),
            ("timeout: 60s", "timeout: 50s", Change::Access),
            ("page_size: 1000", "page_size: 100", Change::Access),
            ("requests_per_second: 5", "requests_per_second: 4", Change::Access),
            ("http://user:one@", "http://user:two@", Change::Access),
            (", proxy: 'http://user:one@proxy.example:3128'", "", Change::Access),
            ("secret_key: one", "secret_key: two", Change::Access),
            ("secret_key: one", "secret_key: one, security_token: one", Change::Access),
            ("project_id: a1, credentials: main", "project_id: a1, credentials: other", Change::Access),
            ("project_id: a1", "project_id: a2", Change::Query),
            ("{name: studio, region: cn-north-4", "{name: studio, region: cn-east-3", Change::Query),
            ("windows: [today, this_month]", "windows: [today]", Change::Query),
            ("timezone: Asia/Shanghai", "timezone: UTC", Change::Query),
            ("user_ids: [one]", "user_ids: [one, two]", Change::Query),
            ("user_ids: [one]", "user_ids: all", Change::Query),
            ("app_user_id: one", "app_user_id: two", Change::Query),
            ("resource_types: [one]", "resource_types: []", Change::Query),
            ("business_types: [one]", "business_types: [two]", Change::Query),
        ] {
            assert!(BEFORE.contains(from), "{from}");
            let after = config(&BEFORE.replace(from, to)).await;
            assert_eq!(Change::between(studio(&before), studio(&after)), change, "{from} to {to}");
        }
    }

    #[tokio::test]
    async fn the_settings_for_all_sub_users_have_their_effect() {
        let all = BEFORE.replace("user_ids: [one]", "user_ids: all");
        let before_all = config(&all).await;
        for (from, to, change) in [
            ("user_ids: all", "user_ids: []", Change::Query),
            ("user_ids: all", "user_ids: [all]", Change::Query),
            // The usage stays right until the next poll.
            ("{series: 5}", "{series: 20}", Change::Access),
            ("{series: 5}", "{series: 5, interval: 1h}", Change::Access),
            ("series: 10", "series: 20", Change::Display),
        ] {
            assert!(all.contains(from), "{from}");
            let after = config(&all.replace(from, to)).await;
            assert_eq!(Change::between(studio(&before_all), studio(&after)), change, "{from} to {to}");
            let texts = [&before_all, &after].map(|config| query_text(config, studio(config).1).unwrap());
            assert_eq!(texts[0] != texts[1], change == Change::Query, "{from} to {to}: {texts:?}");
        }
    }

    #[tokio::test]
    async fn an_id_that_is_looked_up_depends_on_the_credentials_and_on_iam() {
        let before = config(BEFORE).await;
        let looked_up = BEFORE.replace("project_id: a1, ", "");
        let before_looked_up = config(&looked_up).await;
        assert_eq!(Change::between(studio(&before), studio(&before_looked_up)), Change::Query);
        let after = config(&looked_up.replace("secret_key: one", "secret_key: two")).await;
        assert_eq!(Change::between(studio(&before_looked_up), studio(&after)), Change::Query, "maybe another account");
        let after = config(&looked_up.replace("page_size: 1000", "iam_endpoint: 'https://iam.example'")).await;
        assert_eq!(Change::between(studio(&before_looked_up), studio(&after)), Change::Query, "maybe another cloud");
    }

    #[tokio::test]
    async fn an_explicit_endpoint_is_the_same_query() {
        let before = config(BEFORE).await;
        let explicit = "endpoint: 'https://metastudio.cn-north-4.myhuaweicloud.com', project_id: a1";
        let after = config(&BEFORE.replace("region: cn-north-4, project_id: a1", explicit)).await;
        assert_eq!(Change::between(studio(&before), studio(&after)), Change::Access, "the same endpoint, another IAM");
    }
}
