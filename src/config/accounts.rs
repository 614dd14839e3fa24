//! The section `accounts`: accounts whose pay-per-use packages the billing service knows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{
    api_settings::ApiSettings,
    credentials::CredentialsSource,
    endpoint::{Endpoint, Site},
    fields::{Field, Fields},
    project,
    read::Node,
};
use crate::usage::{Collector, requests_a_day};

/// If the code of a service contains this text, the service is MetaStudio, unless `service_types` names other codes.
/// The exact code is not documented (contract, 17).
const METASTUDIO: &str = "metastudio";

/// An account whose packages are collected from the billing service.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The value of the label `account`; unique.
    pub name: String,
    /// The site; `None` if only an endpoint is given.
    pub site: Option<Site>,
    /// The endpoint of the billing service.
    pub endpoint: Endpoint,
    /// The name of its credentials.
    pub credentials: String,
    /// The account's id; `None` is the account of the credentials.
    pub domain_id: Option<String>,
    /// The enterprise projects whose packages are asked for, in addition to the packages outside of enterprise
    /// projects.
    pub enterprise_project_ids: Vec<String>,
    /// The codes of the services whose packages are kept; if empty, those that contain `metastudio`.
    pub service_types: Vec<String>,
}

impl Account {
    /// The endpoint of IAM, which knows the account's id.
    pub(crate) fn iam_endpoint(&self, api: &ApiSettings) -> Endpoint {
        let of_site = || Endpoint::of_iam_of_site(self.site == Some(Site::Europe));
        api.iam_endpoint.clone().unwrap_or_else(of_site)
    }

    /// Whether the packages of a service are kept.
    pub fn keeps(&self, service_type_code: &str) -> bool {
        if self.service_types.is_empty() {
            return Self::is_of_metastudio(service_type_code);
        }
        self.service_types.iter().any(|kept| kept == service_type_code)
    }

    /// Whether the code of a service contains `metastudio`, in upper or lower case.
    pub fn is_of_metastudio(service_type_code: &str) -> bool {
        service_type_code.to_ascii_lowercase().contains(METASTUDIO)
    }

    /// Requests a day, if each list fits on one page and nothing is retried.
    pub(crate) fn requests_a_day(&self, interval: Duration) -> f64 {
        let lists = 1 + self.enterprise_project_ids.len();
        requests_a_day(lists as f64, Collector::Billing.daily_requests().into(), interval)
    }

    fn read(
        node: &Node<'_>,
        credentials: Option<&BTreeMap<String, CredentialsSource>>,
        names: &mut HashSet<String>,
    ) -> Option<Self> {
        if !node.is_mapping() {
            node.problem("a mapping with name and site");
            return None;
        }
        let mut section = node.section();
        let name = section.require("name", "a name, which becomes the label `account`").and_then(|node| {
            let name = node.text()?;
            if !names.insert(name.clone()) {
                node.problem("a name that no other account has");
            }
            Some(name)
        });
        let site = section.get("site").and_then(|node| {
            let named = |text: &str| Site::ALL.into_iter().find(|site| site.as_str() == text);
            node.parse(&format!("one of {}", Site::expected()), named)
        });
        let endpoint = section.get("endpoint").and_then(|node| Endpoint::of_node(&node));
        if !section.has("site") && !section.has("endpoint") {
            section.missing("site", &format!("expected one of {}, or an endpoint", Site::expected()));
        }
        let credentials = project::credentials_name(&mut section, credentials);
        let domain_id = section.get("domain_id").and_then(|node| {
            node.parse("a text of letters and digits: the account ID (console, My Credentials)", |text| {
                let is_id = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
                is_id.then(|| text.to_owned())
            })
        });
        let enterprise_project_ids = project::texts(section.get("enterprise_project_ids"), |node| {
            node.parse("an id of an enterprise project, of letters, digits and -", |text| {
                let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                ((1..=64).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| text.to_owned())
            })
        });
        let service_types = project::texts(section.get("service_types"), Node::text);
        section.finish();
        Some(Account {
            name: name?,
            site,
            endpoint: endpoint.unwrap_or_else(|| Endpoint::of_billing(site.unwrap_or(Site::China))),
            credentials,
            domain_id,
            enterprise_project_ids: enterprise_project_ids.values,
            service_types: service_types.values,
        })
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        vec![
            ("name", Field::text(&self.name)),
            ("site", Field::optional(self.site, Field::text)),
            ("endpoint", Field::text(&self.endpoint)),
            ("credentials", Field::text(&self.credentials)),
            ("domain_id", Field::optional(self.domain_id.as_ref(), Field::text)),
            ("enterprise_project_ids", Field::list(&self.enterprise_project_ids)),
            ("service_types", Field::list(&self.service_types)),
        ]
    }
}

/// Reads the section.
pub(super) fn read(node: &Node<'_>, credentials: Option<&BTreeMap<String, CredentialsSource>>) -> Vec<Account> {
    let mut names = HashSet::new();
    let accounts = node.list(|node| Account::read(&node, credentials, &mut names).map(|account| (node, account)));
    let mut first: HashMap<_, &str> = HashMap::new();
    for (node, account) in &accounts {
        // Without an id, the credentials decide which account it is.
        let id = account.domain_id.as_ref().ok_or(&account.credentials);
        if let Some(other) = first.insert((id, &account.endpoint.host), &account.name) {
            node.warning(format!("asks for the same packages as {other}, so they are shown, and alerted on, twice"));
        }
    }
    accounts.iter().map(|(_, account)| account.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Loaded, load_text};

    async fn load(accounts: &str) -> Loaded {
        let text = format!(
            "credentials: {{main: {{access_key: AK, secret_key: SK}}}}\nprojects: [{{name: a, region: cn-north-4}}]\n\
             accounts: {accounts}\n"
        );
        load_text(text, Path::new("config.yaml"), &Environment::default()).await
    }

    async fn accounts(text: &str) -> Vec<Account> {
        let loaded = load(text).await;
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems)).accounts
    }

    #[tokio::test]
    async fn a_site_has_its_billing_service_and_its_iam() {
        let hosts = [
            ("china", "bss.myhuaweicloud.com", "iam.myhuaweicloud.com"),
            ("international", "bss-intl.myhuaweicloud.com", "iam.myhuaweicloud.com"),
            ("europe", "bss.myhuaweicloud.eu", "iam.myhuaweicloud.eu"),
        ];
        for (site, billing, iam) in hosts {
            let account = accounts(&format!("[{{name: a, site: {site}}}]")).await.remove(0);
            assert_eq!((account.endpoint.host.as_str(), account.credentials.as_str()), (billing, "main"));
            assert_eq!(account.iam_endpoint(&ApiSettings::default()).host, iam);
        }
        let account = accounts("[{name: a, endpoint: 'https://bss.example'}]").await.remove(0);
        assert_eq!((account.site, account.endpoint.host.as_str()), (None, "bss.example"));
    }

    #[tokio::test]
    async fn services_are_kept_by_their_codes() {
        let of_metastudio = accounts("[{name: a, site: china}]").await.remove(0);
        let codes = ["hws.service.type.metastudio", "hws.service.type.MetaStudio.live", "hws.service.type.obs", ""];
        assert_eq!(codes.map(|code| of_metastudio.keeps(code)), [true, true, false, false]);
        let named = accounts("[{name: a, site: china, service_types: [hws.service.type.obs]}]").await.remove(0);
        assert_eq!(codes.map(|code| named.keeps(code)), [false, false, true, false]);
    }

    #[tokio::test]
    async fn each_fault_is_a_problem_with_its_path() {
        for (text, path, message) in [
            ("[{site: china}]", "accounts[0].name", "is missing; expected a name"),
            ("[{name: a}]", "accounts[0].site", "expected one of china, international, europe, or an endpoint"),
            ("[{name: a, site: mars}]", "accounts[0].site", "expected one of china, international, europe"),
            (
                "[{name: a, site: china, credentials: b}]",
                "accounts[0].credentials",
                "the name of one of the credentials",
            ),
            ("[{name: a, site: china, domain_id: 'a b'}]", "accounts[0].domain_id", "letters and digits"),
            (
                "[{name: a, site: china, enterprise_project_ids: [a, a]}]",
                "accounts[0].enterprise_project_ids[1]",
                "each value once",
            ),
            ("[{name: a, site: china, regions: [b]}]", "accounts[0].regions", "there is no such key"),
            ("[{name: a, site: china}, {name: a, site: europe}]", "accounts[1].name", "no other account has"),
            ("[a]", "accounts[0]", "a mapping with name and site"),
        ] {
            let loaded = load(text).await;
            let problem = loaded.errors().next().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(problem.path.replace(" (a)", ""), path, "{text}");
            assert!(problem.to_string().contains(message), "{text}: {problem}");
        }
        let loaded = load("[{name: a, site: china}, {name: b, site: china}]").await;
        let warning = loaded.problems[0].to_string();
        assert!(loaded.config.is_some() && warning.contains("asks for the same packages as a"), "{warning}");
        let others =
            "[{name: a, site: china, domain_id: a1}, {name: b, site: china, domain_id: b1}, {name: c, site: europe}]";
        assert!(load(others).await.problems.is_empty());
    }
}
