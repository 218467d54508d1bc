use bytes::Bytes;

use super::{
    Factory, everything,
    fixtures::{
        OWNER, Writer, append, entry_id, head, indexed, ledger, ledger_append, ledger_partition, merge, quarantine,
        quarantine_partition, recent, records, refused, version,
    },
    fresh,
};
use crate::{
    index::{
        Error,
        rows::{AlarmRow, AppendRow, Rows, Stub, VersionRow},
    },
    log::Partition,
};

/// How many entries the history has.
const ENTRIES: u64 = 60;

/// One entry after another of three records, as apply would judge them: versions in order, some too early, some twice, some
/// conflicting; holders that come, go and stay; flags that are set and taken away.
struct History {
    partition: Partition,
    heads: [(u64, Option<u64>); 3],
    last: [Option<VersionRow>; 3],
}

impl History {
    fn new(partition: Partition) -> Self {
        Self { partition, heads: [(0, None); 3], last: [None, None, None] }
    }

    fn next(&mut self, offset: u64) -> Rows {
        let number = usize::try_from(offset * 7 % 3).unwrap();
        let record = format!("r{number}");
        let (version_now, gap) = self.heads[number];
        match offset * 11 % 10 {
            0 => self.too_early(number, &record, offset),
            1 if version_now > 0 => {
                let row = version(&self.partition, &record, version_now, offset);
                Rows { outcomes: Vec::new(), ..refused(&row, "duplicate", version_now) }
            }
            2 if version_now > 0 => {
                let mut row = version(&self.partition, &record, version_now, offset);
                row.submission_id = super::fixtures::hash("conflict", offset);
                let rows = refused(&row, "conflict", version_now);
                Rows { alarms: vec![super::fixtures::alarm(&self.partition, offset)], ..rows }
            }
            way => {
                let mut row = version(&self.partition, &record, version_now + 1, offset);
                row.frozen = way == 3;
                row.suspended = way == 4;
                row.status = if row.frozen { "frozen" } else { "valid" }.into();
                let holders = match way {
                    5 => None,
                    6 => Some(&[1_u64, 2][..]),
                    _ => Some(&[3_u64][..]),
                };
                self.heads[number] = (row.version, gap.filter(|gap| *gap > row.version));
                self.last[number] = Some(row.clone());
                indexed(&row, gap, holders, &[offset % 4])
            }
        }
    }

    /// A version two ahead: the same submission comes again later, in its turn.
    fn too_early(&mut self, number: usize, record: &str, offset: u64) -> Rows {
        let (version_now, gap) = self.heads[number];
        let row = version(&self.partition, record, version_now + 2, offset);
        let highest = gap.map_or(row.version, |gap| gap.max(row.version));
        self.heads[number].1 = Some(highest);
        let heads = self.last[number].iter().map(|last| head(last, Some(highest)));
        Rows { heads: heads.collect(), ..refused(&row, "gap", version_now) }
    }
}

async fn door(index: &crate::index::SharedIndex) {
    let mut door = Writer::new(index, quarantine_partition()).await;
    let waiting = (0..12).map(|offset| {
        let record = format!("r{}", offset % 3);
        crate::index::rows::QuarantineRow { at: 0, ..quarantine(&record, offset, offset) }
    });
    door.commit(12, &Rows { quarantine: waiting.collect(), ..Rows::default() }).await;
}

pub(super) async fn every_earlier_state_comes_back(factory: &dyn Factory) {
    let (_subject, reference) = fresh(factory).await;
    door(&reference).await;
    let mut writer = Writer::new(&reference, records(0)).await;
    let mut history = History::new(records(0));
    let entries: Vec<_> = (0..ENTRIES).map(|offset| history.next(offset)).collect();
    let mut states = vec![everything(&*reference).await];
    for rows in &entries {
        writer.commit(1, rows).await;
        states.push(everything(&*reference).await);
    }

    let (_subject, index) = fresh(factory).await;
    door(&index).await;
    let mut writer = Writer::new(&index, records(0)).await;
    for (size, step) in [(7, 1), (60, 9), (1, 17)] {
        commit_in_batches(&mut writer, &entries, size).await;
        assert_eq!(everything(&*index).await, *states.last().unwrap(), "in batches of {size}");
        let mut to = ENTRIES;
        while to > 0 {
            to = to.saturating_sub(step);
            back(&mut writer, to).await;
            let state = usize::try_from(to).unwrap();
            assert_eq!(everything(&*index).await, states[state], "back to {to}, written in batches of {size}");
        }
        commit_in_batches(&mut writer, &entries, 13).await;
        back(&mut writer, 31).await;
        commit_in_batches(&mut writer, &entries, 5).await;
        assert_eq!(everything(&*index).await, *states.last().unwrap(), "back and forth");
        back(&mut writer, 0).await;
    }
}

/// What is left of the history, so many entries at a time.
async fn commit_in_batches(writer: &mut Writer, entries: &[Rows], size: usize) {
    let from = usize::try_from(writer.next).unwrap();
    for chunk in entries[from..].chunks(size) {
        writer.commit(chunk.len().try_into().unwrap(), &merge(chunk.iter().cloned())).await;
    }
}

/// Rewinds, ends the repair, and forgets what was taken out.
async fn back(writer: &mut Writer, to: u64) {
    let kept = if to == 0 { Vec::new() } else { recent(to) };
    let count = writer.index.rewind(&writer.partition, OWNER, to, &kept).await.unwrap();
    let position = writer.index.position(&writer.partition).await.unwrap().unwrap();
    assert_eq!((position.next, position.current, &position.recent), (to, false, &kept));
    writer.index.set_current(&writer.partition, OWNER, true).await.unwrap();
    let lost = writer.index.lost(&writer.partition, u32::MAX).await.unwrap();
    assert_eq!(lost.len() as u64, count);
    for entry in lost {
        assert!(entry.envelope.is_some(), "with its envelope");
        writer.index.settle_lost(&entry).await.unwrap();
    }
    writer.next = to;
}

pub(super) async fn what_was_taken_out_is_kept_until_settled(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let mut elsewhere = Writer::new(&index, records(1)).await;
    elsewhere.index("r8", 1, Some(&[1]), &[]).await;
    writer.index("r1", 1, Some(&[1]), &[]).await;
    let second = writer.index("r1", 2, Some(&[1]), &[]).await;
    let again = version(&writer.partition, "r1", 2, 2);
    writer.commit(1, &Rows { outcomes: Vec::new(), ..refused(&again, "duplicate", 2) }).await;

    assert_eq!(index.rewind(&writer.partition, OWNER, 1, &recent(1)).await.unwrap(), 2);
    let filled = |row: &VersionRow| AppendRow { envelope: Some(row.envelope.clone()), ..append(row) };
    let expected = [filled(&second), filled(&again)];
    assert_eq!(index.lost(&writer.partition, 9).await.unwrap(), expected);
    assert_eq!(index.lost(&writer.partition, 1).await.unwrap(), expected[..1], "oldest first");
    assert!(index.lost(&elsewhere.partition, 9).await.unwrap().is_empty());
    assert!(index.outcomes(&[second.submission_id]).await.unwrap().is_empty());
    assert_eq!(index.counts().await.unwrap().versions, 2, "the other partition is left alone");

    writer.next = 1;
    let other = VersionRow { entry_id: entry_id("other", 1), ..version(&writer.partition, "r1", 2, 1) };
    writer.commit(1, &indexed(&other, None, Some(&[1]), &[])).await;
    assert_eq!(
        index.rewind(&writer.partition, OWNER, 1, &recent(1)).await.unwrap(),
        3,
        "another entry at the same place"
    );
    index.settle_lost(&expected[0]).await.unwrap();
    index.settle_lost(&expected[0]).await.unwrap();
    let left = subject.open().await.lost(&writer.partition, 9).await.unwrap();
    assert_eq!(left, [filled(&other), expected[1].clone()]);
}

pub(super) async fn only_under_the_lease(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[]).await;
    let before = everything(&*index).await;
    for (partition, owner, to) in [(records(0), "other", 0), (records(1), OWNER, 0), (records(0), OWNER, 2)] {
        let rewound = index.rewind(&partition, owner, to, &[]).await;
        assert!(matches!(rewound, Err(Error::Stale(_))), "{partition} {owner} {to}: {rewound:?}");
    }
    assert_eq!(everything(&*index).await, before);
}

pub(super) async fn the_ledger_goes_back_too(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, ledger_partition()).await;
    let rows: Vec<_> = (0..3).map(|offset| ledger("w", &format!("q{offset}"), offset)).collect();
    for row in &rows {
        let rows = Rows { ledger: vec![row.clone()], appends: vec![ledger_append(row)], ..Rows::default() };
        writer.commit(1, &rows).await;
    }
    assert_eq!(index.rewind(&writer.partition, OWNER, 1, &recent(1)).await.unwrap(), 2);
    assert_eq!(index.ledger(0, 9).await.unwrap(), rows[..1]);
    let lost: Vec<_> = index.lost(&writer.partition, 9).await.unwrap();
    let envelopes: Vec<_> = lost.iter().map(|entry| entry.envelope.clone().unwrap()).collect();
    assert_eq!(envelopes, [rows[1].envelope.clone(), rows[2].envelope.clone()]);

    let mut door = Writer::new(&index, quarantine_partition()).await;
    let alarms = vec![AlarmRow { id: "a".into(), ..super::fixtures::alarm(&door.partition, 0) }];
    door.commit(1, &Rows { quarantine: vec![quarantine("r1", 1, 0)], alarms, ..Rows::default() }).await;
    index.rewind(&door.partition, OWNER, 0, &[]).await.unwrap();
    assert!(index.quarantine("", None, 9).await.unwrap().is_empty());
    assert!(index.alarms(9).await.unwrap().is_empty());
    assert_eq!(index.ledger(0, 9).await.unwrap().len(), 1, "the quarantine's offsets are not the ledger's");
}

pub(super) async fn an_erasure_stays(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let row = writer.index("r1", 1, Some(&[1]), &[]).await;
    writer.index("r1", 2, Some(&[1]), &[]).await;
    let stub = AppendRow {
        offset: 2,
        entry_id: entry_id("stub", 2),
        submission_id: None,
        envelope: Some(Bytes::from_static(b"stub")),
        ..append(&row)
    };
    let stubs = vec![Stub { record_id: "r1".into(), version: 1, append: stub.clone() }];
    writer.commit(1, &Rows { stubs, ..Rows::default() }).await;
    assert_eq!(index.rewind(&writer.partition, OWNER, 1, &recent(1)).await.unwrap(), 2);
    let erased = index.version("r1", 1).await.unwrap().expect("it was indexed before");
    assert!(erased.erased);
    assert_eq!(erased.envelope, Bytes::from_static(b"stub"));
    assert_eq!(index.lost(&writer.partition, 9).await.unwrap()[1], stub, "the stub is to be appended again");
    assert_eq!(index.version("r1", 2).await.unwrap(), None);
    index.rewind(&writer.partition, OWNER, 0, &[]).await.unwrap();
    assert_eq!(index.version("r1", 1).await.unwrap(), None);
}
