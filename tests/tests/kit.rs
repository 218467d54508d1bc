//! The adapter's kit: it is what its lists say, free of Kafka, and the adapter that its installer puts down works on a machine that
//! reaches nothing but the hub.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::watch;
use weft_adapter::keys::Directory;
use weft_tests::{
    department::confirm,
    eventually,
    folder::{scratch, target_dir},
    found::versions_per_record,
    hub::TestHub,
    office::{drop_file, exported},
    process::{Launch, Process},
    relay::Relay,
    skipped_by_quick,
};

const PATIENCE: Duration = Duration::from_secs(120);
const DEPARTMENT: &str = "market-regulation";
const TYPE: &str = "food-business-licence";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs a program to its end: what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// The folder with the kit's programs: `weft` without its feature `hub`, which `tests/run` builds beside the other.
fn programs() -> PathBuf {
    let folder = target_dir().join("kit");
    assert!(folder.join("weft").is_file(), "no weft in {}: run tests/run, which builds it", folder.display());
    folder
}

/// Builds the kit into `out`; the archive.
fn build(out: &Path) -> PathBuf {
    let mut command = Command::new(root().join("deploy/build-kit"));
    command.args(["--profile", "dev", "--bin-dir"]).arg(programs());
    if !programs().join("weft-odbc").is_file() {
        command.arg("--without-odbc");
    }
    let printed = run(command.arg(out).env("CARGO_TARGET_DIR", target_dir()));
    PathBuf::from(printed.lines().last().unwrap())
}

/// The kit, unpacked.
fn unpack(archive: &Path, into: &Path) -> PathBuf {
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into));
    let mut entries = fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let (kit, other) = (entries.next().unwrap(), entries.next());
    assert_eq!(other, None, "one folder");
    kit
}

fn files_under(folder: &Path, base: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_under(&path, base));
        } else {
            found.insert(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_installs_and_works_with_the_hub_alone() {
    if skipped_by_quick("the kit's own build of weft, and network namespaces") {
        return;
    }
    let folder = scratch("kit");
    let archive = build(&folder.path().join("one"));
    let again = build(&folder.path().join("two"));
    assert_eq!(fs::read(&archive).unwrap(), fs::read(again).unwrap(), "the same sources give the same bytes");
    let kit = unpack(&archive, &folder.path().join("one"));

    the_list_names_every_file_and_no_other(&kit);
    let bill: Value = serde_json::from_slice(&fs::read(kit.join("sbom.cdx.json")).unwrap()).unwrap();
    the_bill_is_whole(&bill);
    nothing_of_kafka_is_in_it(&kit, &bill);
    a_kit_that_was_changed_is_not_installed(&kit);
    let weft = install(&kit, folder.path());
    it_publishes(&weft, &kit, folder.path()).await;
}

fn the_list_names_every_file_and_no_other(kit: &Path) {
    run(Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(kit));
    let list = fs::read_to_string(kit.join("SHA256SUMS")).unwrap();
    let listed: BTreeSet<String> = list.lines().map(|line| line.split_once("  ").unwrap().1.to_owned()).collect();
    let mut there = files_under(kit, kit);
    assert!(there.remove("SHA256SUMS"));
    assert_eq!(listed, there, "left: SHA256SUMS, right: the kit");
    for wanted in ["bin/weft", "install.sh", "README.txt", "docs/adapters.md", "docs/errors/conflict.md"] {
        assert!(there.contains(wanted), "{wanted} is missing");
    }
    for folder in ["schemas", "departments", "samples"] {
        let source = if folder == "schemas" { root().join(folder) } else { root().join("adapters").join(folder) };
        assert_eq!(files_under(&kit.join(folder), &kit.join(folder)), files_under(&source, &source), "{folder}");
    }
}

fn the_bill_is_whole(bill: &Value) {
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(bill["metadata"]["component"]["name"], "weft-adapter-kit");
    assert!(bill["metadata"]["timestamp"].as_str().unwrap().ends_with('Z'));
    let components = bill["components"].as_array().unwrap();
    let mut references = BTreeSet::from([bill["metadata"]["component"]["bom-ref"].as_str().unwrap()]);
    for component in components {
        let text = |key: &str| component[key].as_str().unwrap_or_else(|| panic!("{key} of {component}"));
        assert!(references.insert(text("bom-ref")), "{component} stands twice");
        assert!(!text("name").is_empty() && !text("version").is_empty() && text("type") == "library", "{component}");
        assert!(["required", "excluded"].contains(&text("scope")), "{component}");
        // What is not this workspace's own comes from the registry, with its digest and its licence.
        if !text("name").starts_with("weft") {
            let purl = format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"));
            assert_eq!(text("purl"), purl);
            let digest = component["hashes"][0]["content"].as_str().unwrap();
            assert!(component["hashes"][0]["alg"] == "SHA-256" && digest.len() == 64, "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
    }
    let dependencies = bill["dependencies"].as_array().unwrap();
    let named: BTreeSet<&str> = dependencies.iter().map(|one| one["ref"].as_str().unwrap()).collect();
    assert_eq!(named, references, "every component has its dependencies");
    for on in dependencies.iter().flat_map(|one| one["dependsOn"].as_array().unwrap()) {
        assert!(references.contains(on.as_str().unwrap()), "{on} is no component");
    }
    let required: BTreeMap<&str, &str> =
        components.iter().map(|one| (one["name"].as_str().unwrap(), one["scope"].as_str().unwrap())).collect();
    for name in ["weft", "weft-adapter", "weft-record", "rustls", "sqlx", "tonic"] {
        assert_eq!(required.get(name), Some(&"required"), "{name} is in the program");
    }
}

fn nothing_of_kafka_is_in_it(kit: &Path, bill: &Value) {
    let names = bill["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
    let of_the_hub: Vec<&str> = names.filter(|name| name.starts_with("rdkafka") || *name == "weft-hub").collect();
    assert!(of_the_hub.is_empty(), "{of_the_hub:?}");
    let program = fs::read(kit.join("bin/weft")).unwrap();
    let kafka = aho_corasick::AhoCorasick::new(["librdkafka", "rd_kafka_new"]).unwrap();
    assert!(kafka.find(&program).is_none(), "the program has parts of Kafka's client in it");
    let help = run(Command::new(kit.join("bin/weft")).arg("--help"));
    assert!(help.contains("adapter") && !help.contains("  hub"), "{help}");
}

fn a_kit_that_was_changed_is_not_installed(kit: &Path) {
    let (file, elsewhere) = (kit.join("docs/errors/conflict.md"), kit.with_extension("not-installed"));
    let text = fs::read(&file).unwrap();
    fs::write(&file, "something else").unwrap();
    let output = Command::new(kit.join("install.sh")).arg("--root").arg(&elsewhere).output().unwrap();
    assert!(!output.status.success(), "a changed kit was installed");
    assert!(String::from_utf8_lossy(&output.stderr).contains("get the kit again"));
    assert!(!elsewhere.join("usr").exists());
    fs::write(file, text).unwrap();
}

/// Installs into a folder, twice, as an upgrade does; the program.
fn install(kit: &Path, folder: &Path) -> PathBuf {
    let installed = folder.join("installed");
    let install = || {
        run(Command::new(kit.join("install.sh"))
            .args(["--prefix", "/opt/weft", "--root"])
            .arg(&installed)
            .current_dir("/"))
    };
    let printed = install();
    assert!(printed.contains("/opt/weft/share/weft/docs/adapters.md"), "{printed}");
    let own = installed.join("etc/weft/main/adapter.toml");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "mine").unwrap();
    install();
    assert_eq!(fs::read_to_string(own).unwrap(), "mine", "configurations are never touched");

    let unit = fs::read_to_string(installed.join("etc/systemd/system/weft-adapter@.service")).unwrap();
    assert!(!unit.contains("@PREFIX@"), "{unit}");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words, ["/opt/weft/bin/weft", "adapter", "run", "--config", "/etc/weft/%i/adapter.toml"]);
    let sections: Vec<&str> = unit.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections, ["[Unit]", "[Service]", "[Install]"]);
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with(['[', '#'])) {
        assert!(line.split_once('=').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric)), "{line}");
    }
    let weft = installed.join("opt/weft/bin/weft");
    assert!(run(Command::new(&weft).arg("--version")).starts_with("weft "));
    let share = installed.join("opt/weft/share/weft");
    for wanted in ["departments", "samples", "schemas", "docs/errors"] {
        assert!(share.join(wanted).is_dir(), "{wanted}");
    }
    weft
}

/// A network namespace whose one way out leads to one address of this machine, and no further.
struct Island {
    holder: Process,
    /// This machine's end.
    here: Ipv4Addr,
}

impl Island {
    async fn new(folder: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let own = std::process::id();
        // Four addresses of 198.18.0.0/15, which RFC 2544 keeps for tests.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (own % 0x4000) * 4;
        let (here, there) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        let holder = Launch::new("island", folder, "unshare").args(["--net", "sleep", "infinity"]).start();
        let pid = holder.id().to_string();
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        eventually(PATIENCE, || async {
            let inside = fs::read_link(format!("/proc/{pid}/ns/net")).map_err(|error| error.to_string())?;
            if inside == outside { Err("the namespace is not there yet".to_owned()) } else { Ok(()) }
        })
        .await;
        let (near, far) = (format!("wf{own}a"), format!("wf{own}b"));
        let ip = |line: String| run(Command::new("ip").args(line.split(' ')));
        ip(format!("link add {near} type veth peer name {far} netns {pid}"));
        ip(format!("address add {here}/30 dev {near}"));
        ip(format!("link set {near} up"));
        let island = Self { holder, here };
        for line in
            [format!("address add {there}/30 dev {far}"), format!("link set {far} up"), "link set lo up".to_owned()]
        {
            run(island.inside("ip").args(line.split(' ')));
        }
        island
    }

    /// A program that will run in it.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.holder.id().to_string(), "--"]).arg(program);
        command
    }

    /// Whether something in it gets through to an address.
    fn reaches(&self, address: SocketAddr) -> Result<(), String> {
        let script = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        let output = self.inside("timeout").args(["10", "bash", "-c", &script]).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

async fn it_publishes(weft: &Path, kit: &Path, folder: &Path) {
    let island = Island::new(folder).await;
    let here = IpAddr::V4(island.here);
    let (enrolment_to, enrolment_behind) = watch::channel(SocketAddr::from(([127, 0, 0, 1], 9)));
    let (api_to, api_behind) = watch::channel(SocketAddr::from(([127, 0, 0, 1], 9)));
    let (enrolment, api) = (Relay::start_on(here, enrolment_behind).await, Relay::start_on(here, api_behind).await);
    let mut hub = TestHub::start_with(|config| {
        config.tls.server_names.push(here.to_string());
        config.listen.enrolment_address = format!("https://{}", enrolment.address());
    })
    .await;
    enrolment_to.send_replace(hub.enrolment);
    api_to.send_replace(hub.api);

    island.reaches(api.address()).expect("the hub can be reached");
    for elsewhere in [hub.api, SocketAddr::from(([192, 0, 2, 1], 443)), SocketAddr::from(([1, 1, 1, 1], 53))] {
        let why = island.reaches(elsewhere).expect_err("nothing else can be reached");
        assert!(why.contains("unreachable") || why.contains("refused"), "{elsewhere}: {why}");
    }

    hub.register(DEPARTMENT, &[TYPE], true).await;
    let office = folder.join("office");
    fs::create_dir_all(office.join("drop")).unwrap();
    let config = configure(kit, &office, &format!("https://{}", api.address()));
    let token = office.join("token");
    fs::write(&token, hub.join_token(&format!("department/{DEPARTMENT}/adapter/main")).await).unwrap();
    let adapter = |words: &[&str]| {
        let mut command = island.inside(weft);
        command.arg("adapter").args(words).arg("--config").arg(&config).current_dir(&office);
        command
    };
    run(adapter(&["join"]).arg("--token-file").arg(&token));
    let fingerprint = Directory::new(office.join("state")).open().unwrap().sealing.kid().to_owned();
    confirm(&hub, DEPARTMENT, &fingerprint).await.unwrap();
    run(&mut adapter(&["check"]));
    let told: Value = serde_json::from_str(&run(&mut adapter(&["run", "--once", "--output", "json"]))).unwrap();
    assert_eq!((&told["rows"], &told["indexed"]), (&20.into(), &20.into()), "{told}");
    assert_eq!(versions_per_record(&hub.config, DEPARTMENT).await, exported(1));
    assert!(office.join("drop/done").is_dir());
    hub.stop().await;
}

/// The kit's own configuration of the department, cut down to one source, with a file for it.
fn configure(kit: &Path, office: &Path, hub: &str) -> PathBuf {
    let shipped = fs::read_to_string(kit.join("departments").join(format!("{DEPARTMENT}.toml"))).unwrap();
    let mut config: toml::Table = shipped.parse().unwrap();
    config.insert("state_dir".into(), "state".into());
    config.insert("hub".into(), vec![hub.to_owned()].into());
    let sources = config["source"].as_array_mut().unwrap();
    sources.retain(|source| source["mapping"]["record_type"].as_str() == Some(TYPE));
    let file = sources[0]["file"].as_table_mut().unwrap();
    file.insert("folder".into(), "drop".into());
    file.insert("settle_ms".into(), 50.into());
    let path = office.join("adapter.toml");
    fs::write(&path, config.to_string()).unwrap();
    drop_file(&office.join("drop"), 0);
    path
}
