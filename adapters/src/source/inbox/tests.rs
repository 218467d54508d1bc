use std::{path::Path, sync::Arc};

use super::*;
use crate::clock::{SystemChance, SystemClock};

fn inbox(folder: &Path) -> Inbox {
    Inbox::open(folder.join("in"), Vault::new(&[7; 32], Arc::new(SystemChance)).unwrap()).unwrap()
}

fn put(inbox: &Inbox, name: &str, rows: &[&str]) -> [u8; 32] {
    let mut writer = inbox.write(name).unwrap();
    for row in rows {
        writer.add(row.as_bytes()).unwrap();
    }
    let digest = writer.digest();
    writer.finish("noted").unwrap();
    digest
}

#[test]
fn what_was_finished_waits_in_order_and_reads_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = inbox(folder.path());
    let digest = put(&inbox, "2", &[r#"{"姓名":"张示例"}"#, "{}"]);
    put(&inbox, "1", &["1"]);
    assert_eq!(inbox.waiting().unwrap(), ["1", "2"]);
    for _ in 0..2 {
        let mut reader = inbox.read("2").unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), r#"{"姓名":"张示例"}"#.as_bytes());
        assert_eq!(reader.next().unwrap().unwrap(), b"{}");
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(inbox.read("2").unwrap().survey().unwrap(), Survey { digest, note: "noted".into() });
    }
    inbox.remove("1").unwrap();
    inbox.remove("1").unwrap();
    assert_eq!(inbox.waiting().unwrap(), ["2"]);
    assert!(inbox.bytes().unwrap() > 0);
}

#[test]
fn nothing_stands_there_in_the_clear_and_what_was_cut_or_moved_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = inbox(folder.path());
    put(&inbox, "a", &["张示例", "李示例"]);
    let path = inbox.path("a");
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(9).any(|at| at == "张示例".as_bytes()));
    fs::write(&path, &bytes[..bytes.len() - 32]).unwrap();
    let mut reader = inbox.read("a").unwrap();
    assert!(reader.next().unwrap().is_some() && reader.next().unwrap().is_some());
    assert!(reader.next().is_err());
    fs::write(inbox.path("b"), &bytes).unwrap();
    assert!(inbox.read("b").unwrap().next().is_err());
}

#[test]
fn what_was_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = inbox(folder.path());
    drop(first.write("dropped").unwrap());
    std::mem::forget(first.write("killed").unwrap());
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
    let again = inbox(folder.path());
    let writing = again.write("writing").unwrap();
    // Opening it, as every look at it does, leaves what is being written.
    inbox(folder.path());
    writing.finish("").unwrap();
    again.remove("writing").unwrap();
    again.tidy().unwrap();
    assert!(again.waiting().unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 0);
}

#[test]
fn fresh_names_ascend_with_time() {
    let name = || Inbox::fresh_name(&SystemClock, &SystemChance).unwrap();
    let (a, b) = (name(), name());
    assert_ne!(a, b);
    assert!(a[..19] <= b[..19]);
}
