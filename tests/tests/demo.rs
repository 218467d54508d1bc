//! The README's first command, as a newcomer runs it: the demo tells one story, and an edited cell changes just that record's answer.

use std::{path::Path, time::Duration};

use serde_json::Value;
use weft_tests::{folder::scratch, process::Launch};

const PATIENCE: Duration = Duration::from_secs(180);
const EXPORT: &str = "营业执照-20261030.csv";

async fn demo(name: &str, folder: &Path, samples: &Path) -> Value {
    let launch = Launch::weft(name, folder).args(["demo", "--once", "--output", "json", "--samples"]).arg(samples);
    let process = launch.start();
    let status = process.wait(PATIENCE).await;
    assert!(status.success(), "the story did not hold: {}", process.stderr());
    serde_json::from_str(&process.stdout()).expect("the summary is JSON")
}

fn answered_fields(summary: &Value) -> Vec<Value> {
    let answers = summary["answers"].as_array().expect("answers");
    answers.iter().map(|answer| answer["fields"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_cell_changes_just_that_records_answer() {
    let folder = scratch("demo");
    let samples = folder.path().join("samples");
    let export = Launch::weft("export", folder.path()).args(["demo", "--export-samples"]).arg(&samples).start();
    assert!(export.wait(PATIENCE).await.success());

    let before = demo("before", folder.path(), &samples).await;
    for key in ["published", "quarantined", "indexed", "answers", "ledger_entries", "elapsed_ms"] {
        assert!(before.get(key).is_some(), "the summary has {key}");
    }
    let count = |key: &str| before[key].as_u64().expect("a number");
    assert!(count("published") > 850, "{} published", count("published"));
    assert!(count("quarantined") > 5 && count("problems") > 5, "the wrong rows of the samples are seen");
    assert_eq!(count("ledger_entries"), answered_fields(&before).len() as u64);

    let departments = before["departments"].as_array().expect("departments");
    let sources: Vec<&str> = departments.iter().map(|one| one["source"].as_str().expect("a kind")).collect();
    assert_eq!(sources, ["CSV", "XLSX", "JSON lines", "SQL", "REST", "push"], "six departments, each of its own kind");
    for one in departments {
        assert!(one["indexed"].as_u64() > Some(20) && one["published"] == one["indexed"], "{one}");
        let reasons = one["reasons"].as_object().expect("reasons");
        assert!(reasons.contains_key("rejected") && reasons.len() > 2, "{one}");
    }

    let path = samples.join(EXPORT);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replacen("示例路2号", "示例路222号", 1);
    assert_ne!(text, edited);
    std::fs::write(&path, edited).unwrap();
    let after = demo("after", folder.path(), &samples).await;

    let (before, after) = (answered_fields(&before), answered_fields(&after));
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!((before.len(), changed.as_slice()), (after.len(), [1].as_slice()), "just the second business's answer");
    assert!(after[1].to_string().contains("示例路222号"));
    assert!(before.iter().all(|fields| fields.get("legalRepId").is_none()), "no field that was not granted");
}
