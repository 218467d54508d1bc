use super::{
    Factory, everything,
    fixtures::{
        Writer, alarm, entry_id, head, indexed, ledger, ledger_append, ledger_partition, merge, quarantine,
        quarantine_partition, records, refused, version,
    },
    fresh,
};
use crate::{
    index::{
        DigestScope, Index, SharedIndex,
        rows::{QuarantineRow, Rows, VersionRow},
    },
    log::Partition,
};

/// The digest over everything of [`sample`], the same on every engine.
const SAMPLE: &str = "b6a9fb6f06a686f2d37701117e266fd4c8bb3a66a6d70a01d7bd56eeb6b4bb90";

/// The digest over content of [`sample`].
const SAMPLE_CONTENT: &str = "79e9529525ae4e6af10cb153ce60dceb5dae138c0d60972237d478ba31646f09";

/// A little of everything, in every table.
pub(super) async fn sample(index: &SharedIndex) {
    sample_at(index, &records(0), 0).await;
}

/// The same at other places: a partition, and offsets shifted by so many empty entries.
async fn sample_at(index: &SharedIndex, partition: &Partition, shift: u64) {
    let mut writer = Writer::new(index, partition.clone()).await;
    if shift > 0 {
        writer.commit(shift, &Rows::default()).await;
    }
    let moved = |record: &str, number: u64, offset: u64| VersionRow {
        partition: partition.clone(),
        offset: offset + shift,
        entry_id: entry_id("moved", offset + shift),
        key: format!("{record}/{}", offset + shift),
        envelope: format!("envelope at {partition} {}", offset + shift).into(),
        ..version(&records(0), record, number, offset)
    };
    let first = moved("r1", 1, 0);
    let second =
        VersionRow { valid_from: None, valid_until: Some("2030-01-01".into()), frozen: true, ..moved("r1", 2, 1) };
    let late = moved("r1", 4, 2);
    let waiting = Rows { heads: vec![head(&second, Some(4))], ..refused(&late, "gap", 2) };
    let refused_step = refused(&moved("汉字", 2, 3), "quarantined", 0);
    let alarms = Rows { alarms: vec![alarm(partition, 3 + shift)], ..Rows::default() };
    writer
        .commit(2, &merge([indexed(&first, None, Some(&[1, 2]), &[1]), indexed(&second, None, Some(&[2]), &[2])]))
        .await;
    writer.commit(2, &merge([waiting, refused_step, alarms])).await;

    let mut door = Writer::new(index, quarantine_partition()).await;
    let foreign = QuarantineRow { id: format!("{partition}/{shift}"), stage: "foreign".into(), ..quarantine("", 0, 2) };
    let waiting = vec![quarantine("r1", 3, 0), QuarantineRow { closed: true, ..quarantine("r7", 3, 1) }, foreign];
    door.commit(3, &Rows { quarantine: waiting, ..Rows::default() }).await;

    let mut looker = Writer::new(index, ledger_partition()).await;
    let rows: Vec<_> = (0..3).map(|offset| ledger("w", &format!("q{offset}"), offset)).collect();
    let appends = rows.iter().map(ledger_append).collect();
    looker.commit(3, &Rows { ledger: rows, appends, ..Rows::default() }).await;
}

async fn content(index: &dyn Index) -> String {
    hex::encode(index.digest(DigestScope::Content).await.unwrap())
}

pub(super) async fn the_sample_has_the_same_digest_everywhere(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let empty = everything(&*index).await;
    sample(&index).await;
    assert_ne!(everything(&*index).await, empty);
    assert_eq!((everything(&*index).await.as_str(), content(&*index).await.as_str()), (SAMPLE, SAMPLE_CONTENT));
}

/// (table, columns): `i` a number, `f` a flag, `t` text, `b` bytes; in capitals where it only says where an entry stands, or
/// otherwise does not count for content.
const COLUMNS: &[(&str, &str)] = &[
    (
        "versions",
        "t:record_type t:department t:event t:status f:frozen f:suspended t:valid_from t:valid_until i:iat i:accepted_at \
         t:kid b:submission_id b:content_digest b:substance_digest f:erased T:topic I:partition_no I:entry_offset T:entry_key \
         B:entry_id B:envelope t:record_id i:version",
    ),
    ("heads", "t:record_type t:department i:version t:status f:frozen f:suspended i:gap_version t:record_id"),
    ("holders", "t:record_type i:until_version i:from_version t:record_id b:holder"),
    ("identifiers", "t:record_type i:until_version i:from_version t:record_id b:identifier"),
    (
        "outcomes",
        "t:outcome t:reason t:record_id i:version i:head T:topic I:partition_no I:entry_offset i:at_ms b:submission_id",
    ),
    (
        "appends",
        "T:entry_key B:entry_id B:submission_id T:record_id I:version B:envelope I:entry_offset I:partition_no T:topic",
    ),
    (
        "quarantine",
        "t:department t:sender t:record_type t:record_id i:version i:at_ms t:problems f:closed i:closed_version T:topic \
         I:partition_no I:entry_offset t:id t:stage",
    ),
    (
        "ledger",
        "I:entry_offset t:kind t:window_name t:request_id b:holder t:records t:department i:at_ms B:envelope B:entry_id",
    ),
    ("alarms", "T:alarm I:at_ms T:topic I:partition_no I:entry_offset T:detail T:id"),
    ("positions", "I:next_offset F:is_current T:topic I:partition_no"),
];

/// The rows to be changed, told from others of the table.
fn some_of(table: &str) -> &'static str {
    match table {
        "versions" => "version = 2",
        "heads" => "record_id = 'r1'",
        "holders" | "identifiers" => "from_version = 2",
        "outcomes" => "outcome = 'gap'",
        "appends" => "entry_offset = 0 AND topic = 'weft.ledger'",
        "quarantine" => "closed",
        "ledger" => "request_id = 'q1'",
        "positions" => "topic = 'weft.ledger'",
        _ => "TRUE",
    }
}

pub(super) async fn any_column_changes_it(factory: &dyn Factory) {
    for (table, columns) in COLUMNS {
        for column in columns.split_whitespace() {
            let (kind, column) = column.split_once(':').unwrap();
            let (subject, index) = fresh(factory).await;
            sample(&index).await;
            let before = (everything(&*index).await, content(&*index).await);
            let changed = match kind.to_ascii_lowercase().as_str() {
                "i" => format!("COALESCE({column}, 0) + 100"),
                "f" => format!("NOT {column}"),
                "t" => format!("COALESCE({column}, '') || 'x'"),
                _ => subject.bytes("00"),
            };
            subject.sql(format!("UPDATE {table} SET {column} = {changed} WHERE {}", some_of(table))).await;
            let after = (everything(&*index).await, content(&*index).await);
            assert_ne!(after.0, before.0, "{table}.{column}");
            let counts = kind.chars().all(|kind| kind.is_ascii_lowercase());
            assert_eq!(after.1 != before.1, counts, "{table}.{column} in content");
        }
    }
}

pub(super) async fn content_is_the_same_in_another_place(factory: &dyn Factory) {
    let (_subject, one) = fresh(factory).await;
    sample_at(&one, &records(0), 0).await;
    let (_subject, two) = fresh(factory).await;
    sample_at(&two, &records(2), 5).await;
    assert_ne!(everything(&*one).await, everything(&*two).await);
    assert_eq!(content(&*one).await, content(&*two).await);
    let mut writer = Writer::new(&two, records(3)).await;
    writer.index("r6", 1, None, &[]).await;
    assert_ne!(content(&*one).await, content(&*two).await);
}
