//! An export never seen before, from an empty folder to the first receipts by the real `weft` binary: its headings and
//! their order are no sample's, and what they do not say its cells do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "init/export.rs"]
mod export;

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use weft_tests::{department::confirm, folder::scratch, hub::TestHub, office::here};

use export::{AUTHORITY, DEPARTMENT, ROWS, TYPE, User, answers, cell, texts};

/// Heading, and whether it occurs nowhere in `adapters/` or `schemas/`: then its cells alone say what it is.
const HEADINGS: [(&str, bool); 17] = [
    ("掌柜", true),
    ("批准衙门", true),
    ("营业期限至", false),
    ("门牌所在", true),
    ("社会码十八位", true),
    ("注册资本（万元）", false),
    ("甲日", true),
    ("组织样式", true),
    ("成立日期", false),
    ("掌柜证号", true),
    ("币种", false),
    ("营生项目", true),
    ("备查号", true),
    ("发照日期", false),
    ("当前境况", true),
    ("牌匾全名", true),
    ("乙日", true),
];

fn export() -> String {
    let names = HEADINGS.map(|(heading, _)| heading);
    let mut text = format!("某单位导出台账\r\n{}\r\n", names.join(","));
    for number in 0..ROWS {
        text += &(names.map(|heading| cell(number, heading)).join(",") + "\r\n");
    }
    text
}

#[test]
fn a_third_of_the_headings_is_nowhere_in_the_project() {
    let texts = texts();
    for (heading, unseen) in HEADINGS {
        assert_eq!(!texts.contains(heading), unseen, "{heading}");
    }
    let unseen = HEADINGS.iter().filter(|(_, unseen)| *unseen).count();
    assert!(unseen * 3 >= HEADINGS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_never_seen_before_is_published_with_every_field_right() {
    let mut hub = TestHub::start().await;
    let folder = scratch("init");
    let (share, home) = (folder.path().join("share"), folder.path().join("adapter"));
    fs::create_dir(&share).unwrap();
    fs::create_dir(&home).unwrap();
    fs::write(share.join("台账20261101.csv"), export()).unwrap();
    hub.register(DEPARTMENT, &[TYPE], true).await;
    let token = hub.join_token(&format!("department/{DEPARTMENT}/adapter/main")).await;
    fs::write(folder.path().join("token"), here(&token, hub.enrolment)).unwrap();

    let mut user = User { folder: home.clone(), commands: 0 };
    let api = format!("https://localhost:{}", hub.api.port());
    let init = ["init", "../share/台账20261101.csv", "--yes", "--hub", &api, "--authority-code", AUTHORITY];
    let (status, told) = user.weft(&init).await;
    assert!(status.success(), "{told:#}");
    proposed(&told["sources"][0], &fs::read_to_string(home.join("adapter.toml")).unwrap());

    let (status, joined) = user.weft(&["join", "--config", "adapter.toml", "--token-file", "../token"]).await;
    assert!(status.success(), "{joined:#}");
    // The operator compares the fingerprint and confirms the key.
    confirm(&hub, DEPARTMENT, joined["fingerprint"].as_str().unwrap()).await.unwrap();

    let (status, checked) = user.weft(&["check", "--config", "adapter.toml", "--report", "problems.csv"]).await;
    assert!(status.success(), "{checked:#}");
    assert_eq!((&checked[0]["rows"], &checked[0]["valid"]), (&json!(ROWS), &json!(ROWS)));
    assert!(fs::read_to_string(home.join("problems.csv")).unwrap().contains("normalised"));

    let (status, run) = user.weft(&["run", "--config", "adapter.toml", "--once"]).await;
    assert!(status.success(), "{run:#}");
    assert_eq!(
        (&run["published"], &run["indexed"]),
        (&json!(ROWS + 1), &json!(ROWS + 1)),
        "one is issued and cancelled"
    );
    // Two more are the operator's: a join token, and the confirmation of the key.
    assert!(user.commands + 2 <= 6, "{} commands", user.commands);

    answers(&hub, &home).await;
    hub.stop().await;
}

/// What was proposed, and what was left out.
fn proposed(source: &Value, text: &str) {
    assert_eq!(source["record_type"], TYPE, "{source:#}");
    let found: BTreeMap<&str, &str> = source["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|choice| Some((choice["field"].as_str()?, choice["column"].as_str()?)))
        .collect();
    for (field, heading) in [
        ("uscc", "社会码十八位"),
        ("name", "牌匾全名"),
        ("entityType", "组织样式"),
        ("legalRep", "掌柜"),
        ("legalRepId", "掌柜证号"),
        ("address", "门牌所在"),
        ("scope", "营生项目"),
        ("issuingAuthorityName", "批准衙门"),
        ("record.status", "当前境况"),
    ] {
        assert_eq!(found.get(field), Some(&heading), "{field}: {source:#}");
    }
    assert!(!found.values().any(|heading| ["备查号", "甲日", "乙日"].contains(heading)), "{found:?}");
    assert!(text.contains("# 列 备查号 像 citizen-id"), "{text}");
    assert!(text.contains("left out; choose among: 甲日、乙日") && text.contains("# termFrom = "), "{text}");
}
