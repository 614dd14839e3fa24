//! What a new configuration means for a project that stays: whether it is polled anew, and whether what is known of it
//! is still true.

use crate::config::{Config, Project};

/// What has changed for a project; the later, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// How its usage is shown. It is not polled for that.
    Looks,
    /// How and when the cloud is asked. It is polled at once; until then the usage that is known stays, for it is
    /// still an answer to the same question.
    Manner,
    /// What is asked. The usage that is known goes at once: a wrong number is worse than none.
    Question,
}

impl Change {
    /// Compares a project in one configuration with that of the same name in another. What a variable or a secret file
    /// holds is not a part of the configuration.
    pub fn between((before, old): (&Config, &Project), (after, new): (&Config, &Project)) -> Self {
        // Every field is named, so that a new one cannot be forgotten.
        let Project {
            name: _,
            region,
            endpoint,
            project_id,
            credentials,
            labels,
            user_ids,
            app_user_id,
            resource_types,
            business_types,
            interval,
            stale_after,
            windows,
            budgets,
        } = new;
        let is_same_source = *credentials == old.credentials
            && after.credentials.get(credentials) == before.credentials.get(credentials);
        // An id that is looked up is the one that the credentials find in the region, where they are told to.
        let is_same_look_up =
            *region == old.region && is_same_source && after.api.iam_endpoint == before.api.iam_endpoint;
        let is_same_project = *project_id == old.project_id && (project_id.is_some() || is_same_look_up);
        let is_same_question = *endpoint == old.endpoint
            && is_same_project
            && is_same_set(windows, &old.windows)
            && after.timezone == before.timezone
            && is_same_set(user_ids, &old.user_ids)
            && *app_user_id == old.app_user_id
            && is_same_set(resource_types, &old.resource_types)
            && is_same_set(business_types, &old.business_types);
        let is_same_manner = *region == old.region
            && is_same_source
            && *interval == old.interval
            && after.poll.timeout == before.poll.timeout
            && after.api == before.api;
        let is_same_look = *labels == old.labels && *stale_after == old.stale_after && *budgets == old.budgets;
        match (is_same_question, is_same_manner, is_same_look) {
            (false, ..) => Change::Question,
            (true, false, _) => Change::Manner,
            (true, true, false) => Change::Looks,
            (true, true, true) => Change::Nothing,
        }
    }

    /// Whether the project goes on being polled as if nothing had happened.
    pub fn keeps_poller(self) -> bool {
        self <= Change::Looks
    }

    /// Whether the usage that is known stays.
    pub fn keeps_usage(self) -> bool {
        self <= Change::Manner
    }
}

/// Whether two lists, of which neither has anything twice, differ in their order at the most.
fn is_same_set<T: PartialEq>(list: &[T], other: &[T]) -> bool {
    list.len() == other.len() && list.iter().all(|element| other.contains(element))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, load_text};

    const BEFORE: &str = "
poll: {interval: 5m, timeout: 60s, concurrency: 8, stale_after: 15m}
windows: [today, this_month]
timezone: Asia/Shanghai
api: {page_size: 1000, requests_per_second: 5, proxy: 'http://user:one@proxy.example:3128'}
credentials: {main: {access_key: one, secret_key: one}, other: {token: other}}
projects:
  - {name: before, region: cn-north-4, project_id: a0, credentials: main}
  - {name: it, region: cn-north-4, project_id: a1, credentials: main, labels: {team: one}, user_ids: [one],
     app_user_id: one, resource_types: [one], business_types: [one]}
";

    async fn config(text: &str) -> Config {
        let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &Environment::default()).await;
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn it(config: &Config) -> (&Config, &Project) {
        (config, config.projects.iter().find(|project| project.name == "it").unwrap())
    }

    #[tokio::test]
    async fn what_each_key_means() {
        let before = config(BEFORE).await;
        for (from, to, change) in [
            ("name: before, ", "name: another, ", Change::Nothing),
            ("  - {name: before, region: cn-north-4, project_id: a0, credentials: main}\n", "", Change::Nothing),
            ("concurrency: 8", "concurrency: 2", Change::Nothing),
            ("token: other", "token: another", Change::Nothing),
            ("interval: 5m", "interval: 300s", Change::Nothing),
            ("windows: [today, this_month]", "windows: [this_month, today]", Change::Nothing),
            ("labels: {team: one}", "labels: {team: two}", Change::Looks),
            ("stale_after: 15m", "stale_after: 20m", Change::Looks),
            ("project_id: a1", "project_id: a1, budgets: [{window: today, minutes: 5}]", Change::Looks),
            ("interval: 5m", "interval: 6m", Change::Manner),
            ("timeout: 60s", "timeout: 50s", Change::Manner),
            ("page_size: 1000", "page_size: 100", Change::Manner),
            ("requests_per_second: 5", "requests_per_second: 4", Change::Manner),
            ("http://user:one@", "http://user:two@", Change::Manner),
            (", proxy: 'http://user:one@proxy.example:3128'", "", Change::Manner),
            ("secret_key: one", "secret_key: two", Change::Manner),
            ("secret_key: one", "secret_key: one, security_token: one", Change::Manner),
            ("project_id: a1, credentials: main", "project_id: a1, credentials: other", Change::Manner),
            ("project_id: a1", "project_id: a2", Change::Question),
            ("{name: it, region: cn-north-4", "{name: it, region: cn-east-3", Change::Question),
            ("windows: [today, this_month]", "windows: [today]", Change::Question),
            ("timezone: Asia/Shanghai", "timezone: UTC", Change::Question),
            ("user_ids: [one]", "user_ids: [one, two]", Change::Question),
            ("app_user_id: one", "app_user_id: two", Change::Question),
            ("resource_types: [one]", "resource_types: []", Change::Question),
            ("business_types: [one]", "business_types: [two]", Change::Question),
        ] {
            assert!(BEFORE.contains(from), "{from}");
            let after = config(&BEFORE.replace(from, to)).await;
            assert_eq!(Change::between(it(&before), it(&after)), change, "{from} to {to}");
        }
        let looked_up = BEFORE.replace("project_id: a1, ", "");
        let before_looked_up = config(&looked_up).await;
        assert_eq!(Change::between(it(&before), it(&before_looked_up)), Change::Question);
        let after = config(&looked_up.replace("secret_key: one", "secret_key: two")).await;
        assert_eq!(Change::between(it(&before_looked_up), it(&after)), Change::Question, "maybe another account");
        let after = config(&looked_up.replace("page_size: 1000", "iam_endpoint: 'https://iam.example'")).await;
        assert_eq!(Change::between(it(&before_looked_up), it(&after)), Change::Question, "maybe another cloud");
        let explicit = "endpoint: 'https://metastudio.cn-north-4.myhuaweicloud.com', project_id: a1";
        let after = config(&BEFORE.replace("region: cn-north-4, project_id: a1", explicit)).await;
        assert_eq!(Change::between(it(&before), it(&after)), Change::Manner, "the same place, another IAM");
    }
}
