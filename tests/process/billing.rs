//! The collector of the packages of accounts.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use metastudio_exporter::{
    config::{Environment, load_text},
    polling::Fleet,
    simulator::{ENTERPRISE_PROJECT, Options},
    snapshot::Found,
};

use super::support::{Cloud, Daemon, Ended, FAST, once, run, sample};

/// A configuration with the account of a cloud. Its one project does not matter.
pub fn config(cloud: &Cloud, account: &str, extra: &str) -> String {
    let projects = cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{extra}"));
    let iam = format!("iam_endpoint: 'http://{}'", cloud.address);
    let projects = projects.replacen("api: {", &format!("api: {{{iam}, "), 1);
    format!("{projects}accounts: [{{name: main, endpoint: 'http://{}'{account}}}]\n", cloud.address)
}

async fn cloud(service: &str, faults: &[&str]) -> Cloud {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Cloud::with(Options { service: service.parse().unwrap(), faults, ..Options::default() }).await
}

async fn billing(service: &str, faults: &[&str]) -> (Cloud, Ended) {
    let cloud = cloud(service, faults).await;
    let ended = once(&config(&cloud, "", "")).await;
    (cloud, ended)
}

fn of_collector(name: &str, labels: &str) -> String {
    format!("metastudio_collector_{name}{{project=\"\",account=\"main\",collector=\"billing\"{labels}}}")
}

/// The labels of a package of the account, without its id.
fn labels(product: u32) -> String {
    format!(
        "collector=\"billing\",resource_type=\"hws.service.type.metastudio\",business_type=\"\",sub_resource_type=\"\",\
         charging_mode=\"\",resource_source=\"\",product_id=\"OFFI00000000000000000{product}\",region=\"cn-north-4\""
    )
}

fn of_package(name: &str, id: &str, product: u32) -> String {
    let own = format!("package=\"01154-{id}\",resettable=\"\"");
    format!("metastudio_package_{name}{{project=\"\",account=\"main\",{own},{}}}", labels(product))
}

fn of_kind(name: &str, product: u32) -> String {
    format!("metastudio_packages_{name}{{project=\"\",account=\"main\",{}}}", labels(product))
}

/// The ids of the packages that have series of their own.
fn packages(exposition: &str) -> Vec<&str> {
    let lines = exposition.lines().filter(|line| line.starts_with("metastudio_package_frozen{project=\"\""));
    lines.filter_map(|line| line.split_once("package=\"01154-")?.1.split('"').next()).collect()
}

fn requests(cloud: &Cloud, path: &str) -> usize {
    cloud.simulator.seen().iter().filter(|request| request.target.starts_with(path)).count()
}

/// The packages outside of enterprise projects that have series.
const SHOWN: [&str; 6] = [
    "301381337-0",
    "301381338-0",
    "301381339-0",
    "301381340-0/301381340-f0",
    "301381340-0/301381340-f1",
    "301381340-0/301381340-f2",
];

const QUERY: &str = "/v3/payments/free-resources/query";
const UNITS: &str = "/v2/bases/measurements";
const DOMAINS: &str = "/v3/auth/domains";

#[tokio::test]
async fn packages_of_an_account_are_exported_in_minutes() {
    let (cloud, ended) = billing("", &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.sample(&of_collector("up", "")), Some(1.0), "{}", ended.stderr);
    // Packages in effect, of MetaStudio, and outside of enterprise projects. The used-up package is left out, because
    // another package of its product has something left.
    let mut ids = packages(&ended.stdout);
    ids.sort_unstable();
    assert_eq!(ids, SHOWN, "{}", ended.stdout);
    // Ten hours were bought, and 9.123456789012345678 are left: `amount` is the rest.
    let flexus = |name| ended.sample(&of_package(name, "301381338-0", 2));
    assert_eq!(flexus("bought_minutes"), Some(600.0));
    assert_eq!(flexus("left_minutes"), Some(547.407_407_340_740_7));
    assert_eq!(flexus("used_minutes"), Some(52.592_592_659_259_26));
    // 3000 s of 3600 s, and a unit that is no time.
    let seconds = of_package("left_minutes", "301381340-0/301381340-f0", 4);
    let set = of_package("left", "301381340-0/301381340-f1", 4).replace('}', ",unit=\"Set\"}");
    assert_eq!([ended.sample(&seconds), ended.sample(&set)], [Some(50.0), Some(7.0)]);
    // The name of a unit is in English.
    let pieces = of_package("left", "301381340-0/301381340-f2", 4).replace('}', ",unit=\"Piece\"}");
    assert_eq!(ended.sample(&pieces), Some(2.0));
    // A package that becomes full again is marked, and no sum counts it.
    let resettable = of_package("left_minutes", "301381339-0", 3).replace("resettable=\"", "resettable=\"true");
    assert_eq!([ended.sample(&resettable), ended.sample(&of_kind("left_minutes", 3))], [Some(40.5), None]);
    assert_eq!(ended.sample(&of_kind("left_minutes", 2)), flexus("left_minutes"));
    let end = ended.sample(&of_package("expiry_timestamp_seconds", "301381338-0", 2)).unwrap();
    assert_eq!(end % 86_400.0, 57_599.0, "15:59:59Z");
    assert!(!ended.stdout.contains("Flexus video") && !ended.stdout.contains("obs"), "{}", ended.stdout);
    // The account is asked once, and not once for each project.
    assert_eq!([QUERY, UNITS, DOMAINS].map(|path| requests(&cloud, path)), [1, 1, 1]);
    let counted =
        "metastudio_api_requests_total{project=\"\",account=\"main\",api=\"ListFreeResourceInfos\",code=\"200\"}";
    assert_eq!(ended.sample(counted), Some(1.0));
    assert!(!ended.stdout.contains("metastudio_up{project=\"\""), "an account is not polled");
    // The log has the codes of the services, and how many of them are kept.
    assert!(ended.stderr.contains("account=main codes=\"hws.service.type.metastudio hws.service.type.obs\" kept=1"));
}

/// The project `campaign` uses up a package before the end of each month. The list must not change then, because the
/// other tests run on any day.
#[tokio::test]
async fn the_same_packages_are_shown_on_each_day_of_a_month() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let clocks: [fn() -> DateTime<Utc>; 4] = [
        || DateTime::from_timestamp(1_767_196_800, 0).unwrap(),
        || DateTime::from_timestamp(1_768_406_400, 0).unwrap(),
        || DateTime::from_timestamp(1_769_572_800, 0).unwrap(),
        || DateTime::from_timestamp(1_769_875_199, 0).unwrap(),
    ];
    // The first and the last of these times are the first and the last second of a month in Beijing.
    let days = ["2025-12-31T16:00:00Z", "2026-01-14T16:00:00Z", "2026-01-28T04:00:00Z", "2026-01-31T15:59:59Z"];
    assert_eq!(clocks.map(|clock| clock()), days.map(at));
    for (clock, is_used_up) in clocks.into_iter().zip([false, false, true, true]) {
        let cloud = Cloud::with(Options { clock, ..Options::default() }).await;
        let text = config(&cloud, &format!(", enterprise_project_ids: ['{ENTERPRISE_PROJECT}']"), "");
        let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
        let fleet = Fleet::new(loaded.config.unwrap(), &Environment::default(), clock).unwrap();
        let outcome = Arc::clone(&fleet.accounts()[0]).run(clock().into()).await;
        let Ok(Found::Packages(found)) = outcome.result else { panic!("{outcome:?}") };
        let mut ids: Vec<&str> = found.list.iter().map(|package| package.id.trim_start_matches("01154-")).collect();
        ids.sort_unstable();
        assert_eq!(ids, [&SHOWN[..], &["301381346-0"]].concat(), "{}", clock());
        let campaign = found.list.iter().find(|package| package.id == "01154-301381337-0").unwrap();
        assert_eq!(campaign.left() == Some(0.into()), is_used_up, "{} {campaign:?}", clock());
    }
}

#[tokio::test]
async fn both_collectors_of_packages_have_series_of_one_family() {
    let cloud = cloud("", &[]).await;
    let ended = once(&config(&cloud, "", "collect: [packages]")).await;
    let names = |line: &str| -> Vec<String> {
        line.split(['{', ',']).filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()).collect()
    };
    for family in ["metastudio_package_left_minutes{", "metastudio_packages_left_minutes{", "metastudio_collector_up{"]
    {
        let lines: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with(family)).collect();
        assert!(lines.iter().any(|line| line.contains("account=\"main\"")), "{family}");
        assert!(lines.iter().any(|line| line.contains("project=\"studio-prod\"")), "{family}");
        assert!(lines.windows(2).all(|pair| names(pair[0]) == names(pair[1])), "{lines:?}");
    }
}

#[tokio::test]
async fn enterprise_projects_are_asked_for_one_by_one() {
    let cloud = cloud("", &[]).await;
    let account = format!(", enterprise_project_ids: ['{ENTERPRISE_PROJECT}', empty]");
    let ended = once(&config(&cloud, &account, "")).await;
    assert!(packages(&ended.stdout).contains(&"301381346-0"), "{}", ended.stdout);
    // One package is in each list, and counts once.
    assert_eq!(packages(&ended.stdout).len(), 7);
    assert_eq!(ended.sample(&of_kind("bought_minutes", 2)), Some(600.0));
    assert_eq!(requests(&cloud, QUERY), 3);
    let checked = run(&config(&cloud, &account, ""), &["check"]).await;
    assert!(checked.stdout.contains("145: account, billing every 30m, 2 enterprise projects"), "{}", checked.stdout);
}

#[tokio::test]
async fn services_are_chosen_by_their_codes() {
    let cloud = cloud("", &[]).await;
    let ended = once(&config(&cloud, ", service_types: [hws.service.type.obs]", "")).await;
    assert_eq!(packages(&ended.stdout), ["301381345-0"]);
    assert!(ended.stdout.contains(",unit=\"GB\"} 100\n"), "{}", ended.stdout);
}

/// The code of MetaStudio is not documented, so a wrong code is the most likely mistake.
#[tokio::test]
async fn a_code_that_keeps_no_package_and_an_unknown_unit_are_doubted() {
    let doubt = |ended: &Ended, name: &str| ended.sample(&of_collector("doubts", &format!(",doubt=\"{name}\"")));
    for (service, account, expected) in [
        ("", "", [0.0, 0.0, 0.0]),
        ("units=lacking", "", [0.0, 1.0, 0.0]),
        ("", ", service_types: [hws.service.type.MetaStudio]", [1.0, 0.0, 0.0]),
    ] {
        let ended = once(&config(&cloud(service, &[]).await, account, "")).await;
        let doubts = ["filter_matches_nothing", "unknown_unit", "negative"].map(|name| doubt(&ended, name));
        assert_eq!(doubts, expected.map(Some), "{service}{account}: {}", ended.stderr);
        assert_eq!(ended.stderr.contains(" doubt="), expected.contains(&1.0), "{}", ended.stderr);
        if !account.is_empty() {
            let seen = "collector=billing doubt=filter_matches_nothing";
            assert!(ended.stderr.contains(seen), "{}", ended.stderr);
            let codes =
                "only of other services: hws.service.type.metastudio hws.service.type.obs: no package is exported";
            assert!(ended.stderr.contains(codes), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn amounts_are_texts_or_numbers_and_nothing_else() {
    let (_, ended) = billing("amounts=number", &[]).await;
    let left = ended.sample(&of_package("left_minutes", "301381338-0", 2));
    assert_eq!(left, Some(547.407_407_340_740_7), "18 digits of a number are exact, too");
    for service in ["amounts=words", "amounts=absent"] {
        let (_, ended) = billing(service, &[]).await;
        assert_eq!(ended.sample(&of_collector("up", "")), Some(0.0), "{service}");
        assert_eq!(ended.sample(&of_collector("failures_total", ",reason=\"malformed\"")), Some(1.0), "{service}");
        assert!(!ended.stdout.contains("metastudio_package"), "{service}");
        assert!(ended.stdout.contains("metastudio_usage_minutes{"), "the usage is not touched");
    }
}

#[tokio::test]
async fn a_list_of_several_pages_is_complete_or_refused() {
    for (service, pages) in
        [("account-packages=1500", 2), ("account-packages=100,cap=30", 4), ("account-packages=50,count=absent", 2)]
    {
        let (cloud, ended) = billing(service, &[]).await;
        let number = service.split([',', '=']).nth(1).unwrap();
        let further = format!("metastudio_packages{{project=\"\",account=\"main\",{},unit=\"MIN\"}}", labels(9));
        assert_eq!(ended.sample(&further), number.parse().ok(), "{service}: {}", ended.stderr);
        assert_eq!(requests(&cloud, QUERY), pages, "{service}");
        assert_eq!(packages(&ended.stdout).len(), 100.min(number.parse::<usize>().unwrap() + 6), "{service}");
    }
    for service in ["account-packages=1500,changes=deleted", "account-packages=1500,changes=inserted"] {
        let (_, ended) = billing(service, &[]).await;
        let failures = of_collector("failures_total", ",reason=\"inconsistent\"");
        assert_eq!(ended.sample(&failures), Some(1.0), "{service}: {}", ended.stderr);
        assert!(!ended.stdout.contains("metastudio_package"), "{service}");
    }
    for service in ["empty=absent", "empty=null"] {
        let cloud = cloud(service, &[]).await;
        let ended = once(&config(&cloud, ", enterprise_project_ids: [empty]", "")).await;
        assert_eq!(ended.sample(&of_collector("up", "")), Some(1.0), "{service}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_refused_account_never_touches_the_usage() {
    let (_, ended) = billing("", &["forbidden:project=ListFreeResourceInfos"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("metastudio_usage_minutes{"));
    assert_eq!(ended.sample(&of_collector("up", "")), Some(0.0));
    let log = ended.stderr.lines().find(|line| line.contains("collector failed")).unwrap();
    assert!(log.contains("account=main") && !log.contains("project="), "{log}");
    assert!(log.contains("grant it billing:resourcePackages:view"), "{log}");
}

/// The key has worked for projects before, so the hold covers only the account.
#[tokio::test]
async fn a_key_that_only_the_billing_service_refuses_is_not_on_hold_for_projects() {
    let cloud = cloud("", &["echo:project=bss"]).await;
    let daemon = Daemon::start(&config(&cloud, "", "collect: [packages]"), &[]);
    let refused = of_collector("failures_total", ",reason=\"auth\"");
    let metrics = daemon.wait_for_metrics(|metrics| sample(metrics, &refused) == Some(1.0)).await;
    assert_eq!(sample(&metrics, "metastudio_up{project=\"studio-prod\"}"), Some(1.0), "{metrics}");
    daemon.rewrite(&config(&cloud, "", "windows: [today]"));
    daemon.signal("HUP");
    daemon.wait_for_log("configuration reloaded");
    let polled = "metastudio_polls_total{project=\"studio-prod\"}";
    let metrics = daemon.wait_for_metrics(|metrics| sample(metrics, polled) == Some(2.0)).await;
    assert_eq!(sample(&metrics, "metastudio_up{project=\"studio-prod\"}"), Some(1.0), "{metrics}");
}

/// The simulated gateway would refuse a token of a project, and an account id that the request does not sign.
#[tokio::test]
async fn a_token_is_for_the_account() {
    let cloud = cloud("", &[]).await;
    let user = &cloud.simulator.options().user;
    let iam = format!(
        "iam_user: {{domain: {}, user: {}, password: {}, endpoint: 'http://{}'}}",
        user.domain, user.name, user.password, cloud.address
    );
    let config = config(&cloud, "", "").replace(&cloud.keys(), &iam);
    let ended = once(&config).await;
    assert_eq!(ended.sample(&of_collector("up", "")), Some(1.0), "{}", ended.stderr);
    assert!(ended.stdout.contains("metastudio_usage_minutes{"), "the token of the project is another one");
    assert_eq!(requests(&cloud, DOMAINS), 0, "the token comes with the account id");
}

#[tokio::test]
async fn a_wrong_account_id_is_refused_and_says_what_to_do() {
    let cloud = cloud("", &[]).await;
    let ended = once(&config(&cloud, ", domain_id: ffffffffffffffffffffffffffffffff", "")).await;
    assert!(ended.stderr.contains("CBC.0151") && ended.stderr.contains("request id"), "{}", ended.stderr);
    assert_eq!(requests(&cloud, DOMAINS), 0);
}

#[tokio::test]
async fn one_shard_owns_an_account() {
    let cloud = cloud("", &[]).await;
    let config = config(&cloud, "", "");
    let mut owners = 0;
    for shard in ["0/2", "1/2"] {
        let ended = run(&config, &["once", "--shard", shard]).await;
        owners += usize::from(ended.stdout.contains("account=\"main\""));
    }
    assert_eq!(owners, 1);
}

#[tokio::test]
async fn a_reload_asks_for_an_account_only_if_it_changed() {
    let cloud = cloud("", &[]).await;
    let text = config(&cloud, "", "");
    let daemon = Daemon::start(&text, &["--web.enable-lifecycle"]);
    let is_up = |metrics: &str| sample(metrics, &of_collector("up", "")) == Some(1.0);
    daemon.wait_for_metrics(is_up).await;
    daemon.rewrite(&text.replace("projects:", "windows: [today]\nprojects:"));
    assert_eq!(daemon.reload().await.0, 200);
    daemon.ready().await;
    assert_eq!(requests(&cloud, QUERY), 1, "only projects have changed");
    assert!(is_up(&daemon.metrics().await));
    daemon.rewrite(&text.replace("name: main", "name: other"));
    assert_eq!(daemon.reload().await.0, 200);
    let metrics = daemon.wait_for_metrics(|metrics| metrics.contains("account=\"other\",package=")).await;
    assert!(!metrics.contains("account=\"main\""), "{metrics}");
    let (_, page) = daemon.get("/").await;
    assert!(page.contains("01154-301381338-0") && page.contains("amounts of this period"), "{page}");
    daemon.rewrite(text.split("accounts:").next().unwrap());
    assert_eq!(daemon.reload().await.0, 200);
    assert!(!daemon.metrics().await.contains("account=\"other\""));
}

#[tokio::test]
async fn the_status_page_shows_why_an_account_fails() {
    let cloud = cloud("", &["server-error:project=bss"]).await;
    let daemon = Daemon::start(&config(&cloud, "", ""), &[]);
    daemon.wait_for_metrics(|metrics| sample(metrics, &of_collector("up", "")) == Some(0.0)).await;
    let (_, page) = daemon.get("/").await;
    assert!(page.contains("<h2>main</h2>") && page.contains("HTTP 500"), "{page}");
}

#[tokio::test]
async fn check_says_what_an_account_costs_and_whether_the_key_may_ask() {
    let cloud_of_all = cloud("", &[]).await;
    let checked = run(&config(&cloud_of_all, "", ""), &["check", "--online"]).await;
    assert!(checked.stdout.contains("main         "), "{}", checked.stdout);
    assert!(checked.stdout.contains("49: account, billing every 30m\n"), "{}", checked.stdout);
    let ok = "  ok    main         credentials main accepted, account, billing: 6, requests a day 49\n";
    assert!(checked.stdout.contains(ok), "{}", checked.stdout);
    assert_eq!(checked.code, Some(0));
    // The service that issues credentials for an account only is tested, too.
    let user = format!(
        "iam_user: {{domain: simulated, user: robot, password: simulated-password, endpoint: 'http://{}'}}",
        cloud_of_all.address
    );
    let account = format!(", domain_id: {}, credentials: own", cloud_of_all.simulator.options().account_id);
    let text = config(&cloud_of_all, &account, "").replace("{main:", &format!("{{own: {{{user}}}, main:"));
    let checked = run(&text.replace("project_id:", "credentials: main, project_id:"), &["check", "--online"]).await;
    assert!(checked.stdout.contains("\nIAM at http://127.0.0.1:"), "{}", checked.stdout);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    let refusing = cloud("", &["forbidden:project=bss"]).await;
    let checked = run(&config(&refusing, "", ""), &["check", "--online"]).await;
    assert!(checked.stdout.contains("FAIL  main         account, billing: HTTP 403"), "{}", checked.stdout);
    assert_eq!(checked.code, Some(1));
}
