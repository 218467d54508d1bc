//! The tables of keys against what the configuration takes.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value as Json;
use toml::{Table, Value};
use weft_adapter::Config;
use weft_record::status::Status;

use super::document::Document;

/// The least that is taken: nothing but what is needed.
const LEAST: &str = r#"
department = "health"
name = "main"
state_dir = "state"
hub = ["https://hub.example:8443"]
[[source]]
name = "s"
[source.file]
folder = "drop"
[source.mapping]
record_type = "business-licence"
[source.mapping.fields.x]
"#;

/// Tables that may be left out, with what each needs.
const OPTIONAL: &[(&str, &str)] = &[
    ("limits", ""),
    ("coverage", "record_type = \"business-licence\""),
    ("source.file.sheet", ""),
    ("source.sql", "engine = \"sqlite\"\nfile = \"x.db\"\ntable = \"t\""),
    ("source.sql.watermark", "column = \"c\"\nkind = \"number\""),
    ("source.odbc", "driver = \"d\"\ntable = \"t\""),
    ("source.rest", "url = \"http://127.0.0.1\"\nplain_http = true\nallow = [\"127.0.0.1\"]"),
    ("source.rest.page", "parameter = \"p\""),
    ("source.rest.cursor", "parameter = \"p\"\nnext = \"n\""),
    ("source.rest.since", "parameter = \"p\"\ncolumn = \"c\""),
    ("source.push", "listen = \"127.0.0.1:0\"\ntoken_file = \"t\""),
    ("source.mapping.status", ""),
    ("source.mapping.event", "column = \"c\""),
    ("source.mapping.order", "column = \"c\""),
    ("source.mapping.when", "column = \"c\""),
    ("source.mapping.vanished", ""),
    ("source.mapping.holders", "role = \"r\"\nvalue = {}"),
];

/// Keys that take one word of a list, which the table has to name whole.
const WORDS: &[(&str, &str)] = &[
    ("source.file", "format"),
    ("source.file", "encoding"),
    ("source.sql", "engine"),
    ("source.sql", "tls"),
    ("source.sql.watermark", "kind"),
    ("source.odbc", "encoding"),
    ("source.rest.since", "kind"),
    ("source.mapping.fields.x", "kind"),
    ("source.mapping.fields.x", "serial"),
    ("source.mapping.fields.x", "money"),
    ("source.mapping.fields.x", "bare"),
    ("source.mapping.order", "kind"),
];

/// Tables that stand in lists.
const LISTS: [&str; 3] = ["coverage", "source", "holders"];

/// The table at a path; the first one of a list, made where it is missing.
fn at<'a>(config: &'a mut Table, path: &str) -> &'a mut Table {
    path.split('.').filter(|key| !key.is_empty()).fold(config, |table, key| {
        let empty = || if LISTS.contains(&key) { Value::Array(vec![Table::new().into()]) } else { Table::new().into() };
        match table.entry(key).or_insert_with(empty) {
            Value::Array(list) => list[0].as_table_mut().unwrap(),
            table => table.as_table_mut().unwrap(),
        }
    })
}

/// The least that has a table at `path`.
fn least(path: &str) -> Table {
    let mut config: Table = LEAST.parse().unwrap();
    for (optional, needed) in OPTIONAL {
        if path == *optional || path.starts_with(&format!("{optional}.")) {
            // A source of another kind stands in the place of the folder.
            if optional.strip_prefix("source.").is_some_and(|kind| kinds().contains(kind)) {
                at(&mut config, "source").remove("file");
            }
            at(&mut config, optional).extend(needed.parse::<Table>().unwrap());
        }
    }
    config
}

fn parse(config: &Table) -> Result<Config, String> {
    Config::parse(&toml::to_string(config).unwrap(), Path::new("")).map_err(|error| error.to_string())
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What a refusal says would have been taken.
fn expected(config: &Table, unknown: &str) -> BTreeSet<String> {
    let error = parse(config).unwrap_err();
    let (_, rest) = error.split_once(&format!("unknown {unknown}")).unwrap_or_else(|| panic!("{error}"));
    quoted(rest.split_once("expected").unwrap_or_else(|| panic!("{error}")).1)
}

/// The kinds of source.
pub(super) fn kinds() -> BTreeSet<String> {
    let mut config: Table = LEAST.parse().unwrap();
    at(&mut config, "source").remove("file");
    let error = parse(&config).unwrap_err();
    let named = error.split("[source.").skip(1).map(|part| part.split(']').next().unwrap().to_owned());
    named.collect()
}

fn lookup<'a>(config: &'a Json, path: &str) -> &'a Json {
    path.split('.').filter(|key| !key.is_empty()).fold(config, |json, key| {
        let inner = &json[key];
        if inner.is_array() { &inner[0] } else { inner }
    })
}

fn check_default(path: &str, key: &str, told: &str, default: &Json) {
    let empty = match default {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    };
    match (told, default) {
        ("–", _) => assert!(empty, "{path}.{key}: {default} by default"),
        ("see below", Json::Object(_)) => {}
        (told, Json::String(text)) => assert_eq!(told.trim_matches('`'), text, "{path}.{key}"),
        (told, other) => assert_eq!(told.trim_matches('`'), other.to_string(), "{path}.{key}"),
    }
}

/// Every table of the document, and every table of the code.
pub(super) fn check(document: &Document) {
    let tables = document.tables();
    let told: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
    let always = ["", "source", "source.file", "source.mapping", "source.mapping.fields.x"];
    let known: BTreeSet<&str> = always.into_iter().chain(OPTIONAL.iter().map(|(path, _)| *path)).collect();
    assert_eq!(told, known, "left: docs/adapters.md, right: this test");
    for (path, rows) in &tables {
        let least = least(path);
        let mut with_unknown = least.clone();
        at(&mut with_unknown, path).insert("zz".into(), 1.into());
        let keys: BTreeSet<String> = rows.iter().map(|[key, ..]| key.clone()).collect();
        assert_eq!(keys, expected(&with_unknown, "field `zz`"), "[{path}]: left: docs/adapters.md, right: the code");
        let config = parse(&least).unwrap_or_else(|error| panic!("[{path}]: {error}"));
        let json = serde_json::to_value(&config).unwrap();
        for [key, default, _] in rows {
            let mut without = least.clone();
            let there = at(&mut without, path).remove(key).is_some();
            let needed = there && parse(&without).is_err_and(|error| error.contains(&format!("missing field `{key}`")));
            assert_eq!(default == "needed", needed, "{path}.{key}: needed or not");
            if !there {
                check_default(path, key, default, &lookup(&json, path)[key]);
            }
        }
    }
    for (path, key) in WORDS {
        let mut with_unknown = least(path);
        at(&mut with_unknown, path).insert((*key).into(), "zz".into());
        let row = tables[*path].iter().find(|row| row[0] == *key).unwrap();
        let missing: Vec<String> = expected(&with_unknown, "variant").difference(&quoted(&row[2])).cloned().collect();
        assert!(missing.is_empty(), "{path}.{key}: {missing:?} are not named");
    }
    let statuses = tables["source.mapping.status"].iter().find(|row| row[0] == "statuses").unwrap();
    for status in quoted(&statuses[2]) {
        assert!(serde_json::from_value::<Status>(status.clone().into()).is_ok(), "{status} is no status");
    }
}
