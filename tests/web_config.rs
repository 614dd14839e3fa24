//! A corpus of web configurations, modelled on the corpus of the exporter-toolkit: good ones, and bad ones with errors.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use metastudio_exporter::server::WebPolicy;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;

/// Copies a directory of the corpus into a temporary directory with the certificates and keys that the files name.
fn corpus(name: &str) -> (TempDir, Vec<PathBuf>) {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&KeyPair::generate().unwrap()).unwrap();
    write("server.crt", &cert.pem());
    write("server.key", &signing_key.serialize_pem());
    write("other.key", &KeyPair::generate().unwrap().serialize_pem());
    write("ca.crt", &authority.pem());
    let indented = |text: &str| text.trim_end().replace("\r\n", "\n").replace('\n', "\n    ");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/web").join(name);
    let copy = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let text =
            text.replace("CERTIFICATE", &indented(&cert.pem())).replace("AUTHORITY", &indented(&authority.pem()));
        let text = text.replace("    KEY", &format!("    {}", indented(&signing_key.serialize_pem())));
        let to = directory.path().join(path.file_name().unwrap());
        fs::write(&to, text).unwrap();
        to
    };
    let mut files: Vec<PathBuf> = fs::read_dir(from).unwrap().map(copy).collect();
    files.sort();
    assert!(files.len() > 15, "{files:?}");
    (directory, files)
}

#[tokio::test]
async fn good_configurations_are_accepted() {
    let (_directory, files) = corpus("good");
    for file in files {
        let policy = WebPolicy::load(Some(file.clone())).await;
        let policy = policy.unwrap_or_else(|problems| panic!("{}: {problems:?}", file.display()));
        let names_tls = fs::read_to_string(&file).unwrap().contains("tls_server_config");
        assert_eq!(policy.speaks_tls(), names_tls, "{}", file.display());
        assert!(!format!("{policy:?}").contains("$2"), "{}", file.display());
    }
}

#[tokio::test]
async fn a_certificate_that_clients_refuse_now_is_a_warning() {
    let directory = TempDir::new().unwrap();
    for (from, to, expected) in [
        (2020, 2021, "the certificate of CN=studio has expired, at 2021-01-01T00:00:00Z; renew it"),
        (4000, 4001, "the certificate of CN=studio is not valid before 4000-01-01T00:00:00Z; check the clock"),
        (2020, 4000, ""),
    ] {
        let mut certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        certificate.distinguished_name.push(rcgen::DnType::CommonName, "studio");
        certificate.not_before = rcgen::date_time_ymd(from, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
        write("cert.pem", certificate.self_signed(&key).unwrap().pem());
        write("key.pem", key.serialize_pem());
        write("web.yaml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}".to_owned());
        let policy = WebPolicy::load(Some(directory.path().join("web.yaml"))).await.unwrap();
        let warnings: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(!expected.is_empty()), "{warnings:?}");
        let file = format!("{}: tls_server_config.cert_file: {expected}", directory.path().join("web.yaml").display());
        assert!(warnings.iter().all(|warning| warning.starts_with(&file)), "{warnings:?}");
    }
}

#[tokio::test]
async fn bad_configurations_give_their_errors() {
    let (_directory, files) = corpus("bad");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# error: ")).collect();
        let Err(problems) = WebPolicy::load(Some(file.clone())).await else { panic!("{} is good", file.display()) };
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for problem in &expected {
            assert!(found.iter().any(|found| found.contains(problem)), "{}: {problem} in {found:?}", file.display());
        }
        assert_eq!(found.len(), expected.len(), "{}: {found:?}", file.display());
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }
    let nowhere = WebPolicy::load(Some("/nowhere/web.yaml".into())).await.unwrap_err();
    assert!(nowhere[0].to_string().starts_with("/nowhere/web.yaml: cannot be read"), "{nowhere:?}");
}
