//! The binary against a real hub: an installation from nothing to a verified answer, by commands alone.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test's helpers may fail it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use weft_hub::{config::Config, hub};

const DEPARTMENT: &str = include_str!("../../adapters/departments/market-regulation.toml");
const EXPORT: &[u8] = include_bytes!("../../adapters/samples/营业执照-20261030.csv");
const HOLDER: &str = "91370322MAYY10013C";

struct Hall {
    folder: TempDir,
    api: String,
    console: String,
    stop: CancellationToken,
    hub: JoinHandle<Result<(), hub::Error>>,
}

/// What a command ended with.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    fn reason(&self) -> String {
        let error: Value = serde_json::from_str(&self.err).unwrap_or_else(|_| panic!("{self:?}"));
        error["error"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

fn weft(folder: &Path, args: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_weft")).current_dir(folder).args(args).args(["-o", "json"]).output();
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

impl Hall {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hub.toml"), "hub_name = \"localhost\"\ntest_identities = true\n").unwrap();
        let init = ["admin", "init", "--config", "hub.toml", "--operator", "li", "--operator", "wang"];
        assert_eq!(weft(folder.path(), &init).json()["operators"][1]["operator"], "wang");
        let mut config = Config::parse(&fs::read_to_string(folder.path().join("hub.toml")).unwrap()).unwrap();
        config.keys_dir = folder.path().join("keys");
        config.storage = weft_hub::config::Storage::Embedded { data_dir: folder.path().join("data") };
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let listeners = hub::Listeners { api: bind().await, enrolment: bind().await, console: bind().await };
        let api = format!("https://localhost:{}", listeners.api.local_addr().unwrap().port());
        let console = format!("http://{}", listeners.console.local_addr().unwrap());
        let stop = CancellationToken::new();
        let hub = tokio::spawn(hub::run(config, listeners, stop.clone()));
        Self { folder, api, console, stop, hub }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command waits for its answer on another thread: the hub runs in this process.
    async fn weft(&self, args: &[&str]) -> Ended {
        let (folder, args) =
            (self.folder.path().to_owned(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let run = move || weft(&folder, &args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn admin(&self, operator: &str, args: &[&str]) -> Ended {
        let (certificate, key) =
            (format!("keys/operators/{operator}.crt.pem"), format!("keys/operators/{operator}.key.pem"));
        let who = ["--hub", &self.api, "--certificate", &certificate, "--key", &key, "--ca", "keys/ca.pem"];
        self.weft(&[&["admin"], args, &who].concat()).await
    }

    async fn look(&self, args: &[&str]) -> Ended {
        let who = ["--hub", &self.api, "--certificate", "window/window.crt.pem", "--key", "window/window.key.pem"];
        let case = [
            "--ca",
            "window/ca.pem",
            "--case",
            "2026-1",
            "--item",
            "food-business-licence-application",
            "--role",
            "applicant",
        ];
        self.weft(&[&["query"], args, &who, &case, &["--purpose", "核验主体资格", "--clerk", "17"]].concat()).await
    }

    /// Writes the department's own configuration and the first rows of its export.
    fn lay_out_adapter(&self) {
        fs::write(self.path("adapter.toml"), DEPARTMENT.replace("https://localhost:7443", &self.api)).unwrap();
        for folder in ["business-licences", "food-business-licences", "food-production-licences"] {
            fs::create_dir_all(self.path("drop").join(folder)).unwrap();
        }
        let lines: Vec<&[u8]> = EXPORT.split_inclusive(|byte| *byte == b'\n').take(9).collect();
        fs::write(self.path("drop/business-licences/export.csv"), lines.concat()).unwrap();
    }

    async fn join_adapter(&self) {
        let record_types = [
            "--coverage",
            "business-licence,back-fill-finished",
            "--coverage",
            "food-business-licence",
            "--coverage",
            "food-production-licence",
        ];
        let add = ["department", "add", "market-regulation", "--name-zh", "市场监督管理局", "--name-en", "MR"];
        assert_eq!(self.admin("li", &[&add[..], &record_types].concat()).await.json()["revision"], 1);
        let token = ["join-token", "department/market-regulation/adapter/main", "--valid", "2h", "--to", "token"];
        self.admin("li", &token).await.json();
        let joined = self.weft(&["adapter", "join", "--config", "adapter.toml", "--token-file", "token"]).await.json();
        assert_eq!(joined["sealing_key"], "pending");
        let fingerprint = joined["fingerprint"].as_str().unwrap();
        let own = self.admin("li", &["key", "confirm", "market-regulation", fingerprint]).await;
        assert_eq!((own.code, own.reason().as_str()), (1, "four_eyes"));
        self.admin("wang", &["key", "confirm", "market-regulation", fingerprint]).await.json();
        let keys = self.admin("li", &["key", "list", "market-regulation"]).await.json();
        assert_eq!((&keys[0]["state"], &keys[0]["fingerprint"]), (&"active".into(), &joined["fingerprint"]));
        let again = self.weft(&["adapter", "join", "--config", "adapter.toml", "--token-file", "token"]).await;
        assert_eq!(again.code, 2, "{again:?}");
    }

    async fn publish(&self) {
        let checked = self.weft(&["adapter", "check", "--config", "adapter.toml"]).await.json();
        assert_eq!((&checked[0]["rows"], &checked[0]["valid"]), (&5.into(), &5.into()), "{checked}");
        let told = self.weft(&["adapter", "run", "--once", "--config", "adapter.toml"]).await.json();
        assert_eq!((&told["published"], &told["indexed"]), (&5.into(), &5.into()), "{told}");
        let doctor = self.weft(&["doctor", "--config", "adapter.toml"]).await;
        assert_eq!(doctor.code, 0, "{doctor:?}");
    }

    async fn join_window(&self) {
        self.admin("li", &["window", "add", "hall-1", "--name-zh", "一号窗口", "--hall", "政务大厅"]).await.json();
        let token = self.admin("li", &["join-token", "window/hall-1"]).await.json();
        fs::write(self.path("token"), token["join_token"].as_str().unwrap()).unwrap();
        let joined = self.weft(&["window", "join", "--dir", "window", "--token-file", "token"]).await.json();
        assert!(joined["identity"].as_str().unwrap().ends_with("/window/hall-1"));
        let renewed = self.weft(&["window", "renew", "--dir", "window", "--hub", &self.api]).await.json();
        assert!(renewed["valid_until"].is_string());
    }

    async fn grant(&self) {
        let asked = self
            .admin(
                "li",
                &[
                    "grant",
                    "request",
                    "--window",
                    "hall-1",
                    "--item",
                    "food-business-licence-application",
                    "--record-type",
                    "business-licence",
                    "--department",
                    "market-regulation",
                    "--field",
                    "name",
                    "--field",
                    "uscc",
                    "--purpose",
                    "核验主体资格",
                ],
            )
            .await
            .json();
        let grants = self.admin("wang", &["grant", "list"]).await.json();
        if grants[0]["state"] != "active" {
            self.admin("wang", &["grant", "approve", asked["entity"].as_str().unwrap()]).await.json();
        }
    }

    /// What a console serves, saved for a look without any network.
    fn save_keys(&self) {
        let keys = weft_adapter::keys::Directory::new(self.path("state/market-regulation")).open().unwrap();
        let set = serde_json::json!({"keys": [keys.sealing.public_jwk()]}).to_string();
        fs::write(self.path("department.jwks"), set).unwrap();
        let hub = weft_hub::keys::Keys::open(&self.path("keys")).unwrap().signing.public_jwk();
        fs::write(self.path("hub.jwks"), serde_json::json!({"keys": [hub]}).to_string()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_verified_answer_by_commands_alone() {
    let hall = Hall::start().await;
    hall.lay_out_adapter();
    hall.join_adapter().await;
    hall.publish().await;
    hall.join_window().await;
    hall.save_keys();
    let holder = format!("uscc:{HOLDER}");
    let ask = ["holder", "--type", "business-licence", "--holder", &holder];
    let denied = hall.look(&ask).await;
    assert_eq!((denied.code, denied.reason().as_str()), (1, "denied"));
    hall.grant().await;

    let keys = ["--keys", "department.jwks", "--hub-keys", "hub.jwks", "--save", "answer"];
    let answered = hall.look(&[&ask[..], &keys].concat()).await.json();
    let answer = &answered["answers"][0];
    assert_eq!((&answer["answering"], &answer["status"]), (&"satisfied".into(), &"valid".into()), "{answered}");
    assert_eq!((&answer["seal"]["state"], &answer["statement"]["state"]), (&"verified".into(), &"verified".into()));
    assert_eq!((&answer["fields"]["uscc"], answer["fields"].as_object().unwrap().len()), (&HOLDER.into(), 2));
    assert_eq!(answer["statement"]["ledger_entry"], answer["ledger_entry"]);

    let record = answer["record_id"].as_str().unwrap();
    let narrowed = hall.look(&["record", record, "--holder", &holder, "--field", "name"]).await.json();
    assert_eq!((&narrowed["seal"]["state"], &narrowed["fields"]["uscc"]), (&"not_checked".into(), &Value::Null));
    let fetched = hall.look(&["record", record, "--holder", &holder, "--console", &hall.console]).await.json();
    assert_eq!((&fetched["seal"]["state"], &fetched["statement"]["state"]), (&"verified".into(), &"verified".into()));
    let refused = hall.look(&["record", record, "--holder", &holder, "--field", "legalRep"]).await;
    assert_eq!((refused.code, refused.reason().as_str()), (1, "field_not_granted"));

    let console = hall.console.trim_start_matches("http://");
    let configured =
        format!("keys_dir = \"keys\"\n[listen]\nconsole = \"{console}\"\n[storage]\ndata_dir = \"data\"\n");
    fs::write(hall.path("running.toml"), configured).unwrap();
    let found = hall.weft(&["doctor", "--config", "running.toml"]).await.json();
    let running = found.as_array().unwrap().iter().find(|finding| finding["check"] == "running hub").unwrap();
    assert_eq!(running["level"], "ok", "{running}");
    assert!(found.to_string().contains("a hub runs on it"), "{found}");

    let status = hall.admin("li", &["status", "--digest"]).await.json();
    assert_eq!((&status["indexed"], status["index_digest"].as_str().unwrap().len()), (&5.into(), 64));
    assert_eq!(hall.admin("li", &["quarantine", "list"]).await.json(), Value::Array(vec![]));
    assert_eq!(hall.admin("li", &["department", "list"]).await.json()[0]["adapters"][0], "main");
    hall.admin("li", &["identity", "revoke", "window/hall-1", "--why", "replaced"]).await.json();

    hall.stop.cancel();
    hall.hub.await.unwrap().unwrap();
    assert_eq!(weft(hall.folder.path(), &["doctor", "--config", "adapter.toml"]).code, 1);
    let args = ["verify", "answer", "--keys", "department.jwks"];
    let stated = ["--statement", "answer.statement", "--hub-keys", "hub.jwks"];
    let verified = weft(hall.folder.path(), &[&args[..], &stated].concat()).json();
    assert_eq!((&verified["verified"], &verified["statement"]["state"]), (&true.into(), &"verified".into()));
    assert_eq!(weft(hall.folder.path(), &["verify", "answer", "--keys", "hub.jwks"]).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_there_is_told_apart_from_one_that_refuses() {
    let hall = Hall::start().await;
    let wrong = hall.admin("li", &["window", "add", "NOT A NAME", "--name-zh", "x", "--hall", "x"]).await;
    assert_eq!((wrong.code, wrong.reason().as_str()), (1, "bad_request"));
    assert!(wrong.err.contains("\"field\": \"window\""), "{wrong:?}");
    hall.stop.cancel();
    hall.hub.await.unwrap().unwrap();
    let certificate = ["--certificate", "keys/operators/li.crt.pem", "--key", "keys/operators/li.key.pem"];
    let gone = ["admin", "status", "--hub", &hall.api, "--ca", "keys/ca.pem"];
    assert_eq!(weft(hall.folder.path(), &[&gone[..], &certificate].concat()).code, 3);
    assert_eq!(weft(hall.folder.path(), &["admin", "status"]).code, 2);
}
