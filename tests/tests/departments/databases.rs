//! Departments whose records stand in a database.

use std::path::{Path, PathBuf};

use sqlx::{
    AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use weft_tests::{mariadb, postgres, skipped_by_quick};

use super::place::{Place, secret};

/// The statements that make the department's tables and fill them.
fn statements(place: &Place) -> AssertSqlSafe<String> {
    let read = |name: &str| std::fs::read_to_string(place.samples().join(name)).unwrap();
    AssertSqlSafe(format!("{}{}", read("schema.sql"), read("data.sql")))
}

#[tokio::test(flavor = "multi_thread")]
async fn civil_affairs_has_postgresql() {
    if skipped_by_quick("postgres") {
        return;
    }
    let place = Place::start("civil-affairs").await;
    let server = postgres::shared().await;
    let url = server.database().await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(statements(&place)).execute(&mut owner).await.unwrap();
    let reader = "CREATE ROLE weft_read LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO weft_read";
    sqlx::raw_sql(reader).execute(&mut owner).await.unwrap();
    secret(&place.folder.path().join("minzheng.password"), "not asked for");
    let config = place.config(&[
        ("host = \"db.civil-affairs.example\"", here(server.port())),
        ("database = \"minzheng\"", format!("database = {:?}", database(&url))),
    ]);
    place.run(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn human_resources_has_mariadb() {
    if skipped_by_quick("mariadb") {
        return;
    }
    let place = Place::start("human-resources").await;
    let server = mariadb::shared().await;
    let name = server.database().await;
    let mut owner = MySqlConnection::connect(&server.url(&name)).await.unwrap();
    sqlx::raw_sql(statements(&place)).execute(&mut owner).await.unwrap();
    let reader = format!("CREATE USER weft_read IDENTIFIED BY 'synthetic'; GRANT SELECT ON {name}.v_cbzm TO weft_read");
    sqlx::raw_sql(AssertSqlSafe(reader)).execute(&mut owner).await.unwrap();
    secret(&place.folder.path().join("shebao.password"), "synthetic");
    let config = place.config(&[
        ("host = \"db.human-resources.example\"", here(server.port())),
        ("database = \"shebao\"", format!("database = {name:?}")),
    ]);
    place.run(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_has_a_file_of_sqlite() {
    let place = Place::start("transport").await;
    let file = SqliteConnectOptions::new().filename(place.folder.path().join("yunzheng.db")).create_if_missing(true);
    let mut owner = SqliteConnection::connect_with(&file).await.unwrap();
    sqlx::raw_sql(statements(&place)).execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
    let config = place.config(&[]);
    place.run(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_security_has_a_view_in_oracles_habits() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let place = Place::start("public-security").await;
    let server = postgres::shared().await;
    let url = server.database().await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(statements(&place)).execute(&mut owner).await.unwrap();
    let reader = "CREATE ROLE \"WEFT_READ\" LOGIN; GRANT USAGE ON SCHEMA \"HZGL\" TO \"WEFT_READ\"; \
        GRANT SELECT ON \"HZGL\".\"V_CZRK\" TO \"WEFT_READ\"";
    sqlx::raw_sql(reader).execute(&mut owner).await.unwrap();
    secret(&place.folder.path().join("hzgl.password"), "not asked for");
    let at = format!("server = \"127.0.0.1\", port = \"{}\", database = {:?}", server.port(), database(&url));
    let config = place.config(&[
        ("driver = \"Oracle\"", format!("driver = \"PostgreSQL Unicode\"\nhelper = {:?}", helper())),
        // What this driver has for Oracle's `NLS_LANG`.
        ("encoding = \"gbk\"", "encoding = \"wide\"".to_owned()),
        ("dbq = \"//hzgl.example:1521/HZGL\"", at),
    ]);
    place.run(config).await;
}

/// The helper, beside the program under test.
fn helper() -> PathBuf {
    let weft = std::env::var_os("WEFT_BIN").expect("WEFT_BIN: run tests/run, which builds it");
    let helper = Path::new(&weft).with_file_name("weft-odbc");
    assert!(helper.is_file(), "no helper at {}", helper.display());
    helper
}

fn here(port: u16) -> String {
    format!("host = \"127.0.0.1\"\nport = {port}\ntls = \"off\"")
}

/// The name at the end of a URL.
fn database(url: &str) -> &str {
    url.split('?').next().unwrap().rsplit_once('/').unwrap().1
}
