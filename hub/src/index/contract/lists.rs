use super::{
    Factory,
    fixtures::{
        DEPARTMENT, TYPE, Writer, alarm, indexed, ledger, ledger_partition, quarantine, quarantine_partition, records,
        refused, version,
    },
    fresh,
};
use crate::{
    index::{
        Counts, DigestScope,
        rows::{AppendRow, FleetRow, QuarantineRow, Rows},
    },
    log::{EntryId, Partition},
};

pub(super) async fn heads_in_pages(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    for record in ["r3", "r1", "r2"] {
        writer.index(record, 1, Some(&[1]), &[]).await;
    }
    let second = writer.index("r2", 2, Some(&[1]), &[]).await;
    let ids = |heads: Vec<crate::index::rows::HeadEntry>| {
        heads.into_iter().map(|head| (head.record_id, head.version)).collect::<Vec<_>>()
    };
    let page = index.heads(DEPARTMENT, TYPE, None, 2).await.unwrap();
    let entry = &page[1];
    assert_eq!(
        (&entry.status, entry.substance_digest, entry.iat),
        (&second.status, second.substance_digest, second.iat)
    );
    assert_eq!(ids(page), [("r1".into(), 1), ("r2".into(), 2)]);
    assert_eq!(ids(index.heads(DEPARTMENT, TYPE, Some("r2"), 2).await.unwrap()), [("r3".into(), 1)]);
    assert!(index.heads("other", TYPE, None, 2).await.unwrap().is_empty());
    assert!(index.heads(DEPARTMENT, "other", None, 2).await.unwrap().is_empty());
}

pub(super) async fn ledger_in_order(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, ledger_partition()).await;
    let rows = [
        ledger("w1", "q1", 0),
        ledger("w1", "q2", 1),
        ledger("w2", "q1", 2),
        ledger("w1", "q1", 3),
        ledger("w1", "q1", 4),
    ];
    writer.commit(5, &Rows { ledger: rows.to_vec(), ..Rows::default() }).await;
    let asked =
        [("w1", "q1"), ("w2", "q2"), ("w2", "q1")].map(|(window, request)| (window.to_owned(), request.to_owned()));
    let mut first = index.ledger_of_requests(&asked).await.unwrap();
    first.sort_by_key(|row| row.offset);
    assert_eq!(first, [rows[0].clone(), rows[2].clone()], "the first of each request that there was");
    assert!(index.ledger_of_requests(&[]).await.unwrap().is_empty());
    assert_eq!(index.ledger(0, 10).await.unwrap(), rows);
    assert_eq!(index.ledger(1, 2).await.unwrap(), rows[1..3]);
    assert!(index.ledger(5, 2).await.unwrap().is_empty());
}

pub(super) async fn refused_senders_and_alarms_of_no_entry(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut door = Writer::new(&index, quarantine_partition()).await;
    let id = |byte: u8| hex::encode([byte; 32]);
    let mut rows: Vec<_> = (0..2).map(|offset| quarantine(&format!("r{offset}"), 1, offset)).collect();
    rows[0].id = id(1);
    rows[1] = QuarantineRow { id: id(2), department: "other".into(), ..rows[1].clone() };
    door.commit(2, &Rows { quarantine: rows, ..Rows::default() }).await;
    let mut senders = index.refused_senders(&[[1; 32], [2; 32], [3; 32]]).await.unwrap();
    senders.sort();
    assert_eq!(senders, [([1; 32], DEPARTMENT.to_owned()), ([2; 32], "other".to_owned())]);
    assert!(index.refused_senders(&[]).await.unwrap().is_empty());

    let first = alarm(&quarantine_partition(), 0);
    let again = crate::index::rows::AlarmRow { detail: "again".into(), ..first.clone() };
    let second = crate::index::rows::AlarmRow { id: "hub/x".into(), at: first.at + 1, ..first.clone() };
    index.raise_alarms(std::slice::from_ref(&first)).await.unwrap();
    let digest = index.digest(DigestScope::Everything).await.unwrap();
    index.raise_alarms(&[again, second.clone()]).await.unwrap();
    index.raise_alarms(&[]).await.unwrap();
    assert_eq!(index.digest(DigestScope::Everything).await.unwrap(), digest, "a rebuild does not find it again");
    assert_eq!(index.alarms(10).await.unwrap(), [second, first]);
}

pub(super) async fn quarantine_in_pages(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut door = Writer::new(&index, quarantine_partition()).await;
    let mut rows: Vec<_> = (0..5).map(|offset| quarantine(&format!("r{offset}"), 1, offset)).collect();
    rows[3] = QuarantineRow { department: "other".into(), sender: "other/main".into(), ..rows[3].clone() };
    rows[4].at = rows[2].at;
    door.commit(5, &Rows { quarantine: rows.clone(), ..Rows::default() }).await;
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let all = index.quarantine("", None, 10).await.unwrap();
    assert_eq!(all, rows, "newest first");
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    while let Some(last) = {
        let page = index.quarantine("", after.as_deref(), 2).await.unwrap();
        let last = page.last().map(|row| row.id.clone());
        pages.extend(page);
        last
    } {
        after = Some(last);
    }
    assert_eq!(pages, rows);
    assert_eq!(index.quarantine("other", None, 10).await.unwrap().len(), 1);
    assert_eq!(index.quarantine_open("other/main").await.unwrap(), 1);
    assert_eq!(index.quarantine_open(&format!("{DEPARTMENT}/main")).await.unwrap(), 4);
    assert_eq!(index.quarantine_open("nobody").await.unwrap(), 0);

    let closed = QuarantineRow { closed: true, ..rows[0].clone() };
    door.commit(1, &Rows { quarantine: vec![closed.clone()], ..Rows::default() }).await;
    assert_eq!(index.quarantine("", None, 1).await.unwrap(), [closed], "replaced by its key");
}

/// Quarantine and records are different partitions: which is applied first says nothing.
pub(super) async fn quarantine_closes_in_either_order(factory: &dyn Factory) {
    let mut digests = Vec::new();
    for quarantine_first in [true, false] {
        let (_subject, index) = fresh(factory).await;
        let mut writer = Writer::new(&index, records(0)).await;
        let mut door = Writer::new(&index, quarantine_partition()).await;
        writer.index("r1", 1, Some(&[1]), &[]).await;
        let foreign = QuarantineRow { department: "other".into(), ..quarantine("r1", 2, 4) };
        let waiting =
            vec![quarantine("r1", 2, 2), quarantine("r1", 3, 3), foreign, quarantine("r1", 1, 5), quarantine("", 0, 1)];
        let at_door = Rows { quarantine: waiting, ..Rows::default() };
        let right = indexed(&version(&writer.partition, "r1", 2, 6), None, Some(&[1]), &[]);
        if quarantine_first {
            door.commit(5, &at_door).await;
            writer.commit(1, &right).await;
        } else {
            writer.commit(1, &right).await;
            door.commit(5, &at_door).await;
        }
        let open: Vec<_> = index
            .quarantine("", None, 9)
            .await
            .unwrap()
            .into_iter()
            .filter(|row| !row.closed)
            .map(|row| (row.record_id, row.version, row.department))
            .collect();
        let row = |record: &str, version, department: &str| (record.to_owned(), version, department.to_owned());
        assert_eq!(open, [row("r1", 2, "other"), row("r1", 3, DEPARTMENT), row("", 0, DEPARTMENT)]);
        digests.push(super::everything(&*index).await);
    }
    assert_eq!(digests[0], digests[1]);
}

pub(super) async fn alarms_newest_first(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let alarms: Vec<_> = (0..4).map(|offset| alarm(&writer.partition, offset)).collect();
    writer.commit(4, &Rows { alarms: alarms.clone(), ..Rows::default() }).await;
    let changed = alarms.iter().map(|alarm| crate::index::rows::AlarmRow { detail: "later".into(), ..alarm.clone() });
    writer.commit(1, &Rows { alarms: changed.collect(), ..Rows::default() }).await;
    let newest: Vec<_> = alarms.iter().rev().take(3).cloned().collect();
    assert_eq!(index.alarms(3).await.unwrap(), newest, "the same finding twice is one alarm");
}

pub(super) async fn appends_with_their_envelopes(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let row = writer.index("r1", 1, Some(&[1]), &[]).await;
    let again = version(&writer.partition, "r1", 1, 1);
    writer.commit(1, &refused(&again, "duplicate", 1)).await;
    let appends = index.appends_of("r1", 1).await.unwrap();
    let brief: Vec<_> = appends.iter().map(|append| (append.offset, &append.key, append.envelope.as_ref())).collect();
    assert_eq!(brief, [(0, &row.key, Some(&row.envelope)), (1, &again.key, Some(&again.envelope))]);
    assert!(index.appends_of("r1", 2).await.unwrap().is_empty());
}

pub(super) async fn appends_in_quarantine_by_key(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let quarantine = quarantine_partition();
    let append = |partition: &Partition, offset: u64, key: &str| AppendRow {
        partition: partition.clone(),
        offset,
        key: key.into(),
        entry_id: EntryId([u8::try_from(offset).unwrap(); 16]),
        submission_id: None,
        record_id: None,
        version: None,
        envelope: Some(bytes::Bytes::from_static(b"e")),
    };
    let of =
        |partition: &Partition| vec![append(partition, 0, "k"), append(partition, 1, "j"), append(partition, 2, "k")];
    for partition in [quarantine.clone(), records(0)] {
        let mut writer = Writer::new(&index, partition.clone()).await;
        writer.commit(3, &Rows { appends: of(&partition), ..Rows::default() }).await;
    }
    let under = index.appends_in_quarantine("k").await.unwrap();
    assert_eq!(under, [append(&quarantine, 0, "k"), append(&quarantine, 2, "k")]);
    assert!(index.appends_in_quarantine("nobody").await.unwrap().is_empty());
}

pub(super) async fn counts_and_probe(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    assert_eq!(index.counts().await.unwrap(), Counts::default());
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[]).await;
    writer.index("r1", 2, Some(&[1]), &[]).await;
    let waiting =
        Rows { quarantine: vec![quarantine("r9", 1, 2)], ledger: vec![ledger("w", "q", 0)], ..Rows::default() };
    writer.commit(1, &waiting).await;
    let before = super::everything(&*index).await;
    index.probe().await.unwrap();
    index.probe().await.unwrap();
    assert_eq!(index.counts().await.unwrap(), Counts { versions: 2, records: 1, ledger: 1, quarantine_open: 1 });
    assert_eq!(super::everything(&*index).await, before);
}

pub(super) async fn the_fleet_keeps_the_newest_word(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    let before = index.digest(DigestScope::Everything).await.unwrap();
    let word = |sender: &str, heard_at, text: &'static [u8]| FleetRow {
        sender: sender.into(),
        heard_at,
        instance: "a".into(),
        report: bytes::Bytes::from_static(text),
    };
    assert!(index.fleet().await.unwrap().is_empty());
    index.put_fleet(&word("d/main", 20, b"first")).await.unwrap();
    index.put_fleet(&word("d/main", 10, b"late")).await.unwrap();
    index.put_fleet(&word("d/main", 30, b"newest")).await.unwrap();
    index.put_fleet(&word("b/main", 5, b"other")).await.unwrap();
    let other = subject.open().await;
    assert_eq!(other.fleet().await.unwrap(), [word("b/main", 5, b"other"), word("d/main", 30, b"newest")]);
    assert_eq!(index.digest(DigestScope::Everything).await.unwrap(), before, "it follows from no log");
}
