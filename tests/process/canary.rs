//! No output contains a secret: no log line at `debug`, no output of a command, no page and no metric. This also
//! holds if the cloud repeats requests in its errors. All secrets here contain distinctive texts.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{Months, Utc};
use metastudio_exporter::{
    config::{Environment, Shard, load},
    polling::Fleet,
    simulator::{ID_TOKEN, Options, POD_TOKEN, SECRETS, User},
    usage::Zone,
};
use tempfile::TempDir;

use crate::support::{Cloud, Daemon, Ended, FAST, command, run_with};

const ACCESS_KEY: &str = "CANARYACCESSKEY";
const SECRET_KEY: &str = "canary/secret+key";
const SECURITY_TOKEN: &str = "canary-security-token==";
const TOKEN: &str = "canary-x-auth-token";
/// The id of the account is no secret, but no output needs it.
const ACCOUNT_ID: &str = "CANARYACCOUNTID";
const PASSWORD: &str = "canary password \"quoted\" 密码";
/// The beginnings of all credentials that the simulated services issue.
const ISSUED: [&str; 4] = ["HSTSIMULATED", "temporary-secret-", "temporary-token-", "simulated-token-"];
/// The password of the proxy, and `canary:hunter2` in base64.
const PROXY_USER: [&str; 2] = ["hunter2", "Y2FuYXJ5Omh1bnRlcjI"];

/// A way to configure credentials.
struct Source {
    name: &'static str,
    /// As in the configuration, with ADDRESS in place of the address of the cloud.
    credentials: String,
    variables: BTreeMap<&'static str, &'static str>,
    is_right: bool,
}

fn sources(directory: &TempDir) -> Vec<Source> {
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (secret, wrong) = (file("sk", SECRET_KEY), file("wrong", "canary-wrong-secret"));
    let profile =
        file("profile", &format!("[basic]\nak = {ACCESS_KEY}\nsk = {SECRET_KEY}\nsecurity_token = {SECURITY_TOKEN}\n"));
    let password = PASSWORD.replace('"', "\\\"");
    let user = |password: &str| format!("iam_user: {{domain: d, user: u, password: {password}, endpoint: 'ADDRESS'}}");
    let oidc =
        |token: &str| format!("oidc: {{provider_urn: p, agency_urn: a, id_token: {token}, endpoint: 'ADDRESS'}}");
    let pod = |token: &str| format!("pod_identity: {{url: 'ADDRESS/v1/pod-identity', token: {token}}}");
    let token = format!("security_token: '{SECURITY_TOKEN}'");
    let source =
        |name, credentials: String, is_right| Source { name, credentials, variables: BTreeMap::new(), is_right };
    let mut all = vec![
        source("keys", format!("access_key: {ACCESS_KEY}, secret_key: '{SECRET_KEY}', {token}"), true),
        source("keys in a file", format!("access_key: {ACCESS_KEY}, secret_key: {{file: {secret}}}, {token}"), true),
        source("a wrong key", format!("access_key: {ACCESS_KEY}, secret_key: {{file: {wrong}}}"), false),
        source("a token", format!("token: {TOKEN}"), true),
        source("a wrong token", "token: canary-wrong-token".to_owned(), false),
        source("a user", user(&format!("\"{password}\"")), true),
        source("a wrong password", user("'canary wrong password'"), false),
        source("an agency", "ecs_agency: {endpoint: 'ADDRESS'}".to_owned(), true),
        source("oidc", oidc(ID_TOKEN), true),
        source("a wrong id token", oidc("canary-wrong-token"), false),
        source("a pod", pod(POD_TOKEN), true),
        source("a wrong token of a pod", pod("canary-wrong-token"), false),
        source("a profile", format!("profile: {{file: {profile}}}"), true),
    ];
    let variables = [("AK", ACCESS_KEY), ("SK", SECRET_KEY), ("ST", SECURITY_TOKEN)].into();
    let credentials = "access_key: {env: AK}, secret_key: {env: SK}, security_token: {env: ST}".to_owned();
    all.push(Source { name: "keys in the environment", credentials, variables, is_right: true });
    all
}

async fn cloud(faults: &[&str]) -> Cloud {
    Cloud::with(Options {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        security_token: Some(SECURITY_TOKEN.to_owned()),
        token: Some(TOKEN.to_owned()),
        account_id: ACCOUNT_ID.to_owned(),
        user: User { domain: "d".to_owned(), name: "u".to_owned(), password: PASSWORD.to_owned() },
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        ..Options::default()
    })
    .await
}

fn config(cloud: &Cloud, source: &Source) -> String {
    let credentials = source.credentials.replace("ADDRESS", &format!("http://{}", cloud.address));
    let iam = format!("iam_endpoint: 'http://{}'", cloud.address);
    let api = FAST.replace('}', &format!(", {iam}, proxy: 'http://canary:hunter2@127.0.0.1:1'}}"));
    let projects = cloud.config_of(&["campaign", "studio-prod"], &credentials, &format!("{api}\ncollect: all"));
    format!("{projects}accounts: [{{name: company, endpoint: 'http://{}'}}]\n", cloud.address)
}

fn assert_no_secret(source: &Source, what: &str, text: &str) {
    let secrets =
        ["canary", "CANARY", ID_TOKEN, POD_TOKEN, "密码"].into_iter().chain(ISSUED).chain(PROXY_USER).chain(SECRETS);
    for secret in secrets {
        assert!(!text.contains(secret), "{}: {what} shows {secret}: {text}", source.name);
    }
}

async fn run(source: &Source, config: &str, arguments: &[&str]) -> Ended {
    let variables: Vec<(&str, &str)> = source.variables.iter().map(|(name, value)| (*name, *value)).collect();
    run_with(config, arguments, &variables).await
}

#[tokio::test]
async fn no_command_shows_a_secret() {
    let directory = TempDir::new().unwrap();
    let mut redacted = 0;
    let last_month = Zone::shanghai().local(Utc::now()).date_naive() - Months::new(1);
    let last_month = last_month.format("%Y-%m").to_string();
    for source in sources(&directory) {
        for faults in [&[][..], &["echo"], &["echo:after=1"]] {
            let cloud = cloud(faults).await;
            let config = config(&cloud, &source);
            let output = TempDir::new().unwrap();
            let output = format!("--output={}", output.path().display());
            for arguments in [
                &["report", "--month", &last_month, "--log.level=debug"][..],
                &["backfill", "--from", &last_month, &output, "--log.level=debug"],
                &["check", "--print", "--log.level=debug"],
                &["once", "--log.level=debug"],
                &["once", "--log.level=debug", "--log.format=json"],
                &["check", "--online", "--log.level=debug"],
            ] {
                let ended = run(&source, &config, arguments).await;
                assert_no_secret(&source, &format!("{arguments:?}"), &format!("{}{}", ended.stdout, ended.stderr));
                let is_right = arguments.contains(&"--print") || (source.is_right && faults.is_empty());
                let all = format!("{}{}", ended.stdout, ended.stderr);
                assert_eq!(ended.code == Some(0), is_right, "{} {arguments:?} {faults:?}: {all}", source.name);
                redacted += all.matches("<secret>").count();
            }
        }
    }
    assert!(redacted > 0, "the cloud did repeat secrets, and they were redacted");
}

#[tokio::test]
async fn no_page_metric_or_log_of_the_daemon_shows_a_secret() {
    let directory = TempDir::new().unwrap();
    for source in sources(&directory) {
        // One source is enough for faults that do not repeat the request.
        let others = [&["server-error"][..], &["html"], &["hang"], &["redirect"]];
        let others = others.into_iter().filter(|_| source.name == "keys");
        for faults in [&[][..], &["echo:after=2"]].into_iter().chain(others) {
            let cloud = cloud(faults).await;
            let home = TempDir::new().unwrap();
            let mut command = command(&home, &config(&cloud, &source), &["--log.level=debug"]);
            command.envs(&source.variables);
            let daemon = Daemon::spawn(command, home);
            daemon.ready().await;
            if !faults.is_empty() {
                daemon.wait_for_log("poll failed");
            }
            for path in ["/", "/metrics", "/-/ready", "/-/healthy", "/nowhere"] {
                assert_no_secret(&source, path, &daemon.get(path).await.1);
            }
            assert_no_secret(&source, "the log", &daemon.log_text());
        }
    }
}

#[tokio::test]
async fn debug_output_shows_no_secret() {
    let directory = TempDir::new().unwrap();
    let cloud = cloud(&[]).await;
    for source in sources(&directory) {
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, config(&cloud, &source)).unwrap();
        let environment: Environment =
            source.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let loaded = load(&path, &environment, Shard::ALL).await;
        // `loaded.text` has the secrets of the file. It is kept only for its hash.
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let fleet = Fleet::new(config.clone(), &environment, Utc::now).unwrap();
        let attempt = fleet.pollers()[0].poll(Utc::now()).await;
        let shown = format!("{config:?} {environment:?} {fleet:?} {attempt:?}");
        assert_no_secret(&source, "Debug", &shown);
        let run = Arc::clone(&fleet.accounts()[0]).run(Utc::now().into()).await;
        let shown = format!("{run:?}");
        assert_no_secret(&source, "Debug", &shown);
    }
}

#[tokio::test]
async fn no_secret_of_the_web_configuration_is_shown() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = signing_key.serialize_pem();
    let hash = bcrypt::hash("canary-password", 4).unwrap();
    let indented = |text: &str| text.trim_end().replace("\r\n", "\n").replace('\n', "\n    ");
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web.yaml");
    let web = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\nbasic_auth_users: {{alice: {hash}}}\n",
        indented(&cert.pem()),
        indented(&key)
    );
    std::fs::write(&path, &web).unwrap();
    let cloud = cloud(&[]).await;
    let source = &sources(&directory)[0];
    let flag = format!("--web.config.file={}", path.display());
    let daemon = Daemon::start(&config(&cloud, source), &[&flag, "--log.level=debug"]);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(cert.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/", daemon.address.port());
    let mut output = String::new();
    for password in ["canary-password", "canary-wrong"] {
        let response = client.get(&url).basic_auth("alice", Some(password)).send().await.unwrap();
        output += &format!("{:?}{}", response.headers().clone(), response.text().await.unwrap());
    }
    for wrong in ["nonsense", "private", "alice: canary-hash"] {
        let wrong = match wrong {
            "private" => web.replace("PRIVATE", "PUBLIC"),
            "nonsense" => wrong.to_owned(),
            _ => web.replace(&format!("alice: {hash}"), wrong),
        };
        std::fs::write(&path, wrong).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert!(client.get(&url).basic_auth("alice", Some("canary-password")).send().await.unwrap().status() == 200);
        let checked = run(source, &config(&cloud, source), &["check", &flag]).await;
        assert_eq!(checked.code, Some(1));
        output += &checked.stdout;
    }
    output += &daemon.log_text();
    assert_eq!(output.matches("the old one stays in use").count(), 3, "{output}");
    let key_line = key.lines().nth(1).unwrap().trim();
    for secret in ["canary", &hash, key_line] {
        assert!(!output.contains(secret), "{secret} is in {output}");
    }
}
