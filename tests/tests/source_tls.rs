//! Databases behind TLS: the right authority and name are taken, wrong ones refused in a sentence, before a password is sent; and
//! nothing goes in the clear to a server that could do better.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use weft_tests::{
    mariadb, postgres, skipped_by_quick,
    tables::{drain, refused, source},
};

/// Two authorities, and a server's certificate by the first, for `localhost`.
struct Certificates(TempDir);

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Certificates {
    fn new() -> Self {
        let made = Self(weft_tests::folder::scratch("certificates"));
        let (own, other) = (authority("own"), authority("other"));
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &own).unwrap();
        for (name, text) in [
            ("ca.pem", own.pem()),
            ("other.pem", other.pem()),
            ("server.pem", server.pem()),
            ("server.key", key.serialize_pem()),
            ("password", "s3cret\n".to_owned()),
        ] {
            fs::write(made.path(name), text).unwrap();
            fs::set_permissions(made.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What every engine has to do.
async fn judged(folder: &Path, keys: &str) {
    let kind =
        |host: &str, more: &str| format!("[source.sql]\n{keys}\nhost = \"{host}\"\ntable = \"licences\"\n{more}");
    let told = async |host: &str, more: &str| refused(source(folder, &kind(host, more), &["key"]).as_mut()).await;
    let mut proven = source(folder, &kind("localhost", "ca_file = \"ca.pem\""), &["key"]);
    assert_eq!(drain(proven.as_mut(), &["key"]).await, [["91370322"]]);
    // To whoever answers: the same table, in which nothing is new.
    let mut encrypted = source(folder, &kind("127.0.0.1", "tls = \"encrypt\""), &["key"]);
    assert!(drain(encrypted.as_mut(), &["key"]).await.is_empty());
    let said = told("127.0.0.1", "ca_file = \"ca.pem\"").await;
    assert_eq!(said, "tls: the server's certificate is for another name than sql.host");
    for more in ["ca_file = \"other.pem\"", ""] {
        let said = told("localhost", more).await;
        assert_eq!(said, "tls: no authority in sql.ca_file vouches for the server's certificate", "{more}");
    }
    let said = told("localhost", "ca_file = \"nowhere.pem\"").await;
    assert!(said.contains("No such file"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_behind_tls() {
    if skipped_by_quick("postgres") {
        return;
    }
    let files = Certificates::new();
    let (certificate, key) = (files.text("server.pem"), files.text("server.key"));
    let settings = [("ssl", "on"), ("ssl_cert_file", certificate.as_str()), ("ssl_key_file", key.as_str())];
    let server = postgres::Server::start_with(&settings).await;
    let url = server.database().await;
    run_postgres(&url, "CREATE TABLE licences (key text); INSERT INTO licences VALUES ('91370322')").await;
    let database = url.split('?').next().unwrap().rsplit_once('/').unwrap().1;
    let port = server.port();
    judged(
        files.0.path(),
        &format!(
            "engine = \"postgres\"\nport = {port}\ndatabase = \"{database}\"\nuser = \"postgres\"\npassword_file = \"password\""
        ),
    )
    .await;
}

async fn run_postgres(url: &str, text: &str) {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    if skipped_by_quick("postgres") {
        return;
    }
    let folder = weft_tests::folder::scratch("certificates");
    let server = postgres::shared().await;
    let port = server.port();
    let kind = format!(
        "[source.sql]\nengine = \"postgres\"\nhost = \"localhost\"\nport = {port}\ndatabase = \"postgres\"\nuser = \
         \"postgres\"\ntable = \"licences\""
    );
    for more in ["", "\ntls = \"encrypt\""] {
        let said = refused(source(folder.path(), &format!("{kind}{more}"), &["key"]).as_mut()).await;
        assert!(said.starts_with("tls: server does not support TLS"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_behind_tls() {
    if skipped_by_quick("mariadb") {
        return;
    }
    let files = Certificates::new();
    let more = [("cert", "server.pem"), ("key", "server.key"), ("ca", "ca.pem")];
    let more = more.map(|(key, file)| format!("--ssl-{key}={}", files.text(file)));
    let server = mariadb::Server::start_with(&more).await;
    let database = server.database().await;
    let statements = [
        "CREATE TABLE licences (`key` varchar(20))".to_owned(),
        "INSERT INTO licences VALUES ('91370322')".to_owned(),
        "CREATE USER reader IDENTIFIED BY 's3cret' REQUIRE SSL".to_owned(),
        format!("GRANT SELECT ON {database}.licences TO reader"),
    ];
    let url = server.url(&database);
    let mut owner = <sqlx::MySqlConnection as sqlx::Connection>::connect(&url).await.unwrap();
    for text in statements {
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut owner).await.unwrap();
    }
    let port = server.port();
    judged(
        files.0.path(),
        &format!(
            "engine = \"mariadb\"\nport = {port}\ndatabase = \"{database}\"\nuser = \"reader\"\npassword_file = \"password\""
        ),
    )
    .await;
}
