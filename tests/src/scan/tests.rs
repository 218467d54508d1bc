use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::folder::scratch;

const NAME: &str = "欧阳明珠";
const NUMBER: &str = "11010119900307xxxx";

fn scanner() -> Scanner {
    Scanner::new([NAME, NUMBER], ["a granted value"])
}

/// The forms in which `value` is found.
fn forms(bytes: impl AsRef<[u8]>) -> Vec<String> {
    scanner().scan_bytes("bytes", bytes.as_ref()).hits.into_iter().map(|hit| hit.form).collect()
}

fn disclosure(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"["c2FsdHNhbHRzYWx0", "name", "{value}"]"#))
}

#[test]
fn a_value_as_it_is() {
    let scan = scanner().scan_bytes("bytes", format!("noise {NUMBER} {NAME}").as_bytes());
    let found: Vec<_> = scan.hits.iter().map(|hit| (hit.needle.as_str(), hit.offset)).collect();
    assert_eq!(found, [(NUMBER, 6), (NAME, 25)]);
    assert_eq!(forms("nothing of it, but 欧阳修 and 1101011990030"), [""; 0]);
}

#[test]
fn a_value_escaped_for_json_a_url_and_in_hexadecimal() {
    for written in [r"\u6b27\u9633\u660e\u73e0", "%E6%AC%A7%E9%98%B3%E6%98%8E%E7%8F%A0"] {
        assert_eq!(forms(written), ["plain"]);
    }
    assert_eq!(forms(r"\u6B27\u9633\u660E\u73E0"), ["plain"]);
    assert_eq!(forms(hex::encode(NAME)), ["hex > plain", "plain"]);
    assert_eq!(forms(format!("\\x7{}", hex::encode_upper(NUMBER))), ["hex > plain", "plain"]);
}

#[test]
fn a_disclosure_of_a_token() {
    let token = format!("eyJhbGciOiJFZERTQSJ9.e30.c2ln~{}~{}~", disclosure("other"), disclosure(NAME));
    assert_eq!(forms(&token), ["base64 > plain"]);
    // As the payload of another token, in a dump of a database.
    let nested = URL_SAFE_NO_PAD.encode(format!(r#"{{"evidence": "{token}"}}"#));
    assert_eq!(forms(&nested), ["base64 > base64 > plain"]);
    assert_eq!(forms(hex::encode(&nested)), ["hex > base64 > base64 > plain"]);
}

#[test]
fn at_every_alignment_whatever_stands_before() {
    for before in ["", "x", "xy", "xyz", "xyzw"] {
        for inner in ["", "1", "12"] {
            let encoded = STANDARD.encode(format!("{inner}{NUMBER}{inner}"));
            assert_eq!(forms(format!("\u{1}{before}{encoded}")), ["base64 > plain"], "{before} {inner}");
        }
    }
}

#[test]
fn across_line_ends() {
    for line_end in ["\n", "\r\n"] {
        let encoded = STANDARD.encode(format!("a certificate with {NAME} in the middle of it"));
        let lines: Vec<_> = encoded.as_bytes().chunks(16).map(|line| str::from_utf8(line).unwrap()).collect();
        assert_eq!(forms(lines.join(line_end)), ["base64 > plain"]);
    }
}

#[test]
fn both_alphabets_in_all_their_characters() {
    let value = b"\xfb\xef\xbe\xff\xff\xff\xfb\xef\xbe";
    let scanner = Scanner::new([value], [value]);
    for encoded in [STANDARD.encode(value), URL_SAFE_NO_PAD.encode(value)] {
        assert_eq!(scanner.scan_bytes("bytes", encoded.as_bytes()).controls.len(), 1, "{encoded}");
    }
}

#[test]
fn a_value_inside_another() {
    let scanner = Scanner::new(["the long value", "long value"], ["g value"]);
    let scan = scanner.scan_bytes("bytes", b"the long value");
    assert_eq!((scan.hits.len(), scan.controls.len()), (2, 1));
}

#[test]
fn in_files_across_pieces_and_in_their_names() {
    let folder = scratch("scan");
    let inner = folder.path().join("a/b");
    std::fs::create_dir_all(&inner).unwrap();
    let encoded = STANDARD.encode(format!("{NAME}..."));
    let mut big = vec![0; PIECE - 10];
    big.extend_from_slice(encoded.as_bytes());
    big.resize(PIECE * 2, 0);
    std::fs::write(inner.join("big"), &big).unwrap();
    std::fs::write(inner.join(NUMBER), b"a granted value").unwrap();
    let scan = scanner().scan_dir(folder.path()).unwrap();
    assert_eq!((scan.files, scan.bytes), (2, big.len() as u64 + 15));
    let found: Vec<_> = scan.hits.iter().map(|hit| (hit.needle.as_str(), hit.offset, hit.form.as_str())).collect();
    assert_eq!(found, [(NUMBER, 0, "plain"), (NAME, PIECE as u64 - 10, "base64 > plain")]);
    assert!(scanner().scan_dir(&inner.join("absent")).is_err());
}

#[test]
fn random_bytes_hold_nothing() {
    // Bytes of a counter's digest: as good as random, and the same in every run.
    let digest = |n: u32| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_le_bytes());
    let bytes: Vec<u8> = (0..20_000).flat_map(|n| digest(n).as_ref().to_vec()).collect();
    assert_eq!(forms(&bytes), [""; 0]);
    assert_eq!(forms(STANDARD.encode(&bytes)), [""; 0]);
    let mut planted = bytes;
    let middle = planted.len() / 2;
    planted.splice(middle..middle, disclosure(NAME).into_bytes());
    assert_eq!(forms(STANDARD.encode(&planted)), ["base64 > base64 > plain"]);
}

#[test]
fn a_clean_search_with_its_control_passes_and_results_add_up() {
    let scanner = scanner();
    let here = scanner.scan_bytes("here", disclosure("a granted value").as_bytes());
    let there = scanner.scan_bytes("there", b"nothing");
    here.and(there).assert_clean();
}

#[test]
#[should_panic(expected = "the search proves nothing")]
fn a_search_that_misses_its_control_fails() {
    scanner().scan_bytes("bytes", b"nothing").assert_clean();
}

#[test]
#[should_panic(expected = "without a control")]
fn a_search_without_a_control_fails() {
    Scanner::new([NAME], [""; 0]).scan_bytes("bytes", b"nothing").assert_clean();
}

#[test]
#[should_panic(expected = "found in the clear")]
fn a_search_that_finds_a_needle_fails() {
    scanner().scan_bytes("bytes", format!("a granted value {}", disclosure(NAME)).as_bytes()).assert_clean();
}

#[test]
#[should_panic(expected = "too short")]
fn a_value_too_short_to_be_told_from_chance_is_refused() {
    drop(Scanner::new(["short"], [""; 0]));
}
