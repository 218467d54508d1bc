//! Configurations that must not start an adapter: the key is named, and no secret is printed (row 56).

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use weft_adapter::{Config, Surroundings};

const SECRET: &str = "s3cret-that-nobody-prints";

fn configuration(source: &str) -> String {
    format!(
        "department = \"market-regulation\"\nname = \"main\"\nstate_dir = \"state\"\nhub = [\"https://hub.example:7443\"]\n\
         [[source]]\nname = \"licences\"\n{source}\n[source.mapping]\nrecord_type = \"business-licence\"\n\
         [source.mapping.fields]\nuscc = {{ column = \"统一社会信用代码\" }}\nname = {{ column = \"企业名称\" }}\n"
    )
}

/// What the refusal of a configuration says.
fn refusal(text: &str, base: &Path) -> String {
    Config::parse(text, base).expect_err("it is not taken").to_string()
}

#[test]
fn row_56_what_is_wrong_is_named_by_its_key() {
    let base = Path::new("/nowhere");
    let rest = "[source.rest]\nurl = \"https://10.1.2.3/\"\nallow = [\"10.1.2.3\"]\nca_file = \"ca.pem\"";
    let push = "[source.push]\nlisten = \"127.0.0.1:7790\"\ntoken_file = \"token\"";
    let file = "[source.file]\nfolder = \"drop\"";
    for (source, told) in [
        (format!("{file}\nfodler = \"x\""), "fodler"),
        (format!("{file}\npattern = \"../../etc/*\""), "pattern"),
        (format!("{file}\npattern = \"a/../*\""), "pattern"),
        (format!("{rest}\nsecret = \"{SECRET}\""), "secret"),
        (format!("{push}\ntoken = \"{SECRET}\""), "token"),
        (format!("{file}\n{push}"), "exactly one of"),
        (push.replace("127.0.0.1", "0.0.0.0"), "push.listen"),
        (rest.replace("https://", "file://"), "rest.url"),
        (rest.replace("https://", &format!("https://clerk:{SECRET}@")), "rest.url"),
        (rest.replace("allow = [\"10.1.2.3\"]", "allow = []"), "rest.allow"),
    ] {
        let said = refusal(&configuration(&source), base);
        assert!(said.contains(told), "{told}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    let twice = configuration(file);
    let twice = format!("{twice}{}", &twice[twice.find("[[source]]").expect("a source")..].replace("drop", "other"));
    assert!(refusal(&twice, base).contains("stands twice"));
}

#[tokio::test]
async fn row_56_a_secret_that_others_can_read_stops_its_source_and_is_never_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("it can be written");
    fs::write(folder.path().join("ca.pem"), "").expect("it can be written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("it can be set");
    let source = "[source.rest]\nurl = \"https://127.0.0.1:1/\"\nallow = [\"127.0.0.1\"]\nca_file = \"ca.pem\"\n\
                  secret_file = \"secret\"";
    let config = Config::parse(&configuration(source), folder.path()).expect("its form is right");
    assert!(!format!("{config:?}").contains(SECRET));
    let source = weft_adapter::source::open(&config.sources[0], &[], folder.path(), &Surroundings::system());
    let error = source.expect("its kind is known").next().await.expect_err("nothing is asked");
    let said = format!("{error}: {}", error.cause);
    assert!(said.contains("rest.secret_file") && said.contains("chmod 600"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}
