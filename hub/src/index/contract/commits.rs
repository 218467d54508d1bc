use bytes::Bytes;
use futures::future::join_all;

use super::{
    Factory, everything,
    fixtures::{
        OWNER, TYPE, Writer, alarm, at_record, entry_id, hash, head, indexed, ledger, ledger_append, ledger_partition,
        look, merge, outcome, quarantine, quarantine_partition, records, refused, time, version,
    },
    fresh,
};
use crate::{
    index::{
        Advance, By, Error, KnownQuery, LookUp,
        rows::{AppendRow, OutcomeRow, QuarantineRow, Rows, Stub, VersionRow},
    },
    log::EntryId,
};

pub(super) async fn a_stale_commit_writes_nothing(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[1]).await;
    let before = everything(&*index).await;
    let rows = indexed(&version(&writer.partition, "r1", 2, 1), None, Some(&[2]), &[2]);
    let right = writer.advance(1);
    let wrong = [
        Advance { owner: "other".into(), ..right.clone() },
        Advance { from: 0, ..right.clone() },
        Advance { from: 2, to: 3, ..right.clone() },
        Advance { partition: records(1), ..right.clone() },
    ];
    for advance in wrong {
        assert!(matches!(index.commit(&advance, &rows).await, Err(Error::Stale(_))), "{advance:?}");
        assert_eq!(everything(&*index).await, before);
    }
    index.lease(&writer.partition, OWNER, time(0), time(1)).await.unwrap().unwrap();
    index.lease(&writer.partition, "other", time(1), time(9)).await.unwrap().unwrap();
    assert!(matches!(index.commit(&right, &rows).await, Err(Error::Stale(_))), "another instance took over");
    assert_eq!(everything(&*index).await, before);
    index.commit(&Advance { owner: "other".into(), ..right }, &rows).await.unwrap();
    assert_ne!(everything(&*index).await, before);
}

pub(super) async fn a_failed_commit_writes_nothing(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let first = writer.index("r1", 1, Some(&[1]), &[1]).await;
    let before = everything(&*index).await;
    let good = indexed(&version(&writer.partition, "r2", 1, 1), None, Some(&[2]), &[2]);
    let rows = merge([good, Rows { versions: vec![first], ..Rows::default() }]);
    let failed = writer.try_commit(1, &rows).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))), "a version stands once: {failed:?}");
    assert_eq!(everything(&*index).await, before);
    assert_eq!(index.position(&writer.partition).await.unwrap().unwrap().next, 1);
    writer.index("r2", 1, Some(&[2]), &[2]).await;
}

pub(super) async fn of_two_commits_from_one_position_one_wins(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    let other = subject.open().await;
    let mut writer = Writer::new(&index, records(0)).await;
    for round in 0..5_u64 {
        let advance = writer.advance(1);
        let rows: Vec<_> = (0..4)
            .map(|number| {
                indexed(&version(&writer.partition, &format!("r{round}-{number}"), 1, round), None, Some(&[1]), &[])
            })
            .collect();
        let tries = rows.iter().enumerate().map(|(number, rows)| {
            let index = if number % 2 == 0 { &index } else { &other };
            index.commit(&advance, rows)
        });
        let results = join_all(tries).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(Error::Stale(_)))), "{results:?}");
        writer.next += 1;
        assert_eq!(index.counts().await.unwrap().versions, round + 1);
    }
}

pub(super) async fn what_is_repeatable_can_be_repeated(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let row = writer.index("r1", 1, Some(&[1, 1]), &[1]).await;
    let look_entry = ledger("window", "q1", 0);
    let rows = Rows {
        heads: vec![head(&row, None)],
        outcomes: vec![outcome(&row, "indexed", 1)],
        quarantine: vec![quarantine("r9", 1, 0)],
        alarms: vec![alarm(&writer.partition, 0)],
        appends: vec![AppendRow { envelope: Some(Bytes::from_static(b"other")), ..super::fixtures::append(&row) }],
        ledger: vec![look_entry],
        ..Rows::default()
    };
    writer.commit(1, &rows).await;
    let counts = index.counts().await.unwrap();
    let appends = index.appends_of("r1", 1).await.unwrap();
    writer.commit(1, &rows).await;
    writer.commit(1, &merge([rows.clone(), rows.clone()])).await;
    assert_eq!(index.counts().await.unwrap(), counts);
    assert_eq!(index.appends_of("r1", 1).await.unwrap(), appends, "an append that stands stays");
    assert_eq!(appends[0].envelope.as_ref(), Some(&row.envelope));
    assert_eq!(index.alarms(10).await.unwrap(), rows.alarms);
    assert_eq!(index.outcomes(&[row.submission_id]).await.unwrap(), rows.outcomes);
}

pub(super) async fn what_is_known_is_told(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let first = writer.index("r1", 1, Some(&[1]), &[]).await;
    let second = writer.index("r1", 2, Some(&[1]), &[]).await;
    let query = |record: &str, version, submission_id| KnownQuery { record_id: record.into(), version, submission_id };
    let queries = [
        query("r1", 2, second.submission_id),
        query("r1", 3, hash("r1", 3)),
        query("r1", 2, second.submission_id),
        query("r2", 1, first.submission_id),
    ];
    let known = index.known(&queries).await.unwrap();
    assert_eq!(known.heads, [head(&second, None)]);
    assert_eq!(known.versions, std::slice::from_ref(&second));
    let mut outcomes = known.outcomes;
    outcomes.sort_by_key(|row| row.version);
    assert_eq!(outcomes, [outcome(&first, "indexed", 1), outcome(&second, "indexed", 2)]);
    let nothing = index.known(&[]).await.unwrap();
    assert!(nothing.heads.is_empty() && nothing.versions.is_empty() && nothing.outcomes.is_empty());
    assert_eq!(index.version("r1", 1).await.unwrap(), Some(first));
    assert_eq!(index.version("r1", 3).await.unwrap(), None);
    assert!(index.outcomes(&[hash("none", 0)]).await.unwrap().is_empty());
}

pub(super) async fn outcomes_rank(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let mut door = Writer::new(&index, quarantine_partition()).await;
    let row = version(&writer.partition, "r1", 1, 0);
    let refused_at_door =
        OutcomeRow { partition: quarantine_partition(), offset: door.next, ..outcome(&row, "quarantined", 0) };
    let at_door = Rows { outcomes: vec![refused_at_door.clone()], ..Rows::default() };
    door.commit(1, &at_door).await;
    assert_eq!(index.outcomes(&[row.submission_id]).await.unwrap(), [refused_at_door]);
    writer.commit(1, &indexed(&row, None, Some(&[1]), &[])).await;
    assert_eq!(index.outcomes(&[row.submission_id]).await.unwrap(), [outcome(&row, "indexed", 1)]);
    door.commit(1, &at_door).await;
    assert_eq!(
        index.outcomes(&[row.submission_id]).await.unwrap(),
        [outcome(&row, "indexed", 1)],
        "the records topic outranks"
    );

    let late = version(&writer.partition, "r1", 3, 1);
    let again = version(&writer.partition, "r1", 3, 2);
    let both = merge([refused(&late, "gap", 1), refused(&again, "conflict", 1)]);
    writer.commit(2, &both).await;
    assert_eq!(
        index.outcomes(&[late.submission_id]).await.unwrap(),
        [outcome(&again, "conflict", 1)],
        "the last in a batch"
    );
}

pub(super) async fn stubs_take_the_place_of_a_version(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let row = writer.index("r1", 1, Some(&[1]), &[1]).await;
    let again = version(&writer.partition, "r1", 1, 1);
    let rows = refused(&again, "duplicate", 1);
    writer.commit(1, &Rows { outcomes: Vec::new(), ..rows }).await;
    assert_eq!(index.appends_of("r1", 1).await.unwrap().len(), 2);

    let stub = |key: &str, offset: u64| Stub {
        record_id: "r1".into(),
        version: 1,
        append: AppendRow {
            partition: writer.partition.clone(),
            offset,
            key: key.into(),
            entry_id: entry_id("stub", offset),
            submission_id: None,
            record_id: Some("r1".into()),
            version: Some(1),
            envelope: Some(Bytes::from(format!("stub {offset}"))),
        },
    };
    let stubs = vec![stub(&row.key, 2), stub(&again.key, 3)];
    let appends = stubs.iter().map(|stub| stub.append.clone()).collect();
    writer.commit(2, &Rows { stubs: stubs.clone(), appends, ..Rows::default() }).await;

    let erased = index.version("r1", 1).await.unwrap().unwrap();
    assert!(erased.erased);
    assert_eq!((erased.offset, erased.entry_id, &erased.key), (2, entry_id("stub", 2), &row.key));
    assert_eq!(erased.envelope, Bytes::from_static(b"stub 2"));
    assert_eq!((erased.valid_from, erased.valid_until), (None, None));
    assert_eq!((erased.status, erased.content_digest), (row.status, row.content_digest), "status and digest survive");
    let appends = index.appends_of("r1", 1).await.unwrap();
    assert_eq!(appends, stubs.into_iter().map(|stub| stub.append).collect::<Vec<_>>(), "nothing of the text is left");
    assert_eq!(look(&*index, at_record("r1")).await.len(), 1);
}

pub(super) async fn everything_is_there_after_reopening(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    super::digests::sample(&index).await;
    index.raise_registry_floor(5).await.unwrap();
    let before = (everything(&*index).await, index.counts().await.unwrap(), index.positions().await.unwrap());
    drop(index);
    let index = subject.open().await;
    let after = (everything(&*index).await, index.counts().await.unwrap(), index.positions().await.unwrap());
    assert_eq!(after, before);
    assert_eq!(index.registry_floor().await.unwrap(), 5);
}

pub(super) async fn many_partitions_at_once(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    let other = subject.open().await;
    let writers = (0..6_u32).map(|number| {
        let index = if number % 2 == 0 { index.clone() } else { other.clone() };
        async move {
            let mut writer = Writer::new(&index, records(number)).await;
            for round in 1..=10 {
                writer.index(&format!("r{number}"), round, Some(&[1]), &[u64::from(number)]).await;
            }
        }
    });
    let lookers = (0..6_u32).map(|number| {
        let index = &index;
        async move {
            let mut highest = 0;
            while highest < 10 {
                if let Some(found) = look(&**index, at_record(&format!("r{number}"))).await.pop() {
                    assert!(found.is_head && found.row.version >= highest, "a head never goes back");
                    highest = found.row.version;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    futures::join!(join_all(writers), join_all(lookers));
    assert_eq!(index.counts().await.unwrap().versions, 60);
    let mut looker = Writer::new(&index, ledger_partition()).await;
    let row = ledger("window", "q", 0);
    let append = ledger_append(&row);
    looker.commit(1, &Rows { ledger: vec![row], appends: vec![append], ..Rows::default() }).await;
    assert_eq!(everything(&*index).await, everything(&*other).await);
}

fn stub(row: &VersionRow, offset: u64) -> Stub {
    let append = AppendRow {
        partition: row.partition.clone(),
        offset,
        key: row.key.clone(),
        entry_id: entry_id("stub", offset),
        submission_id: None,
        record_id: Some(row.record_id.clone()),
        version: Some(row.version),
        envelope: Some(Bytes::from(format!("stub {offset}"))),
    };
    Stub { record_id: row.record_id.clone(), version: row.version, append }
}

/// A version with holders, other content under its number, and a later version; then both texts are overwritten. In a rebuild after
/// compaction the first two entries are not there, and the version stands up from the registry.
pub(super) async fn an_erasure_leaves_what_a_rebuild_makes(factory: &dyn Factory) {
    let place = records(0);
    let first = version(&place, "r1", 1, 0);
    let other = VersionRow { submission_id: hash("other", 1), ..version(&place, "r1", 1, 1) };
    let second = version(&place, "r1", 2, 2);
    let stubs = Rows { stubs: vec![stub(&first, 3), stub(&other, 4)], ..Rows::default() };
    let late = || indexed(&second, None, Some(&[2]), &[2]);
    let clash = || Rows { alarms: vec![alarm(&place, 1)], ..refused(&other, "conflict", 1) };
    let waiting = || Rows {
        quarantine: vec![QuarantineRow { partition: place.clone(), ..quarantine("r1", 1, 1) }],
        ..Rows::default()
    };

    let (_subject, lived) = fresh(factory).await;
    let mut writer = Writer::new(&lived, place.clone()).await;
    writer.commit(1, &indexed(&first, None, Some(&[1]), &[1])).await;
    writer.commit(1, &merge([clash(), waiting()])).await;
    writer.commit(1, &late()).await;
    writer.commit(2, &stubs).await;

    let (_subject, replayed) = fresh(factory).await;
    let mut writer = Writer::new(&replayed, place.clone()).await;
    let all = [indexed(&first, None, Some(&[1]), &[1]), clash(), waiting(), late(), stubs.clone()];
    writer.commit(5, &merge(all)).await;

    let (_subject, rebuilt) = fresh(factory).await;
    let mut writer = Writer::new(&rebuilt, place.clone()).await;
    let stood_up = VersionRow {
        erased: true,
        valid_from: None,
        valid_until: None,
        entry_id: EntryId([0; 16]),
        envelope: Bytes::new(),
        ..first.clone()
    };
    let stood_up = Rows { appends: Vec::new(), ..indexed(&stood_up, None, Some(&[]), &[]) };
    writer.commit(2, &stood_up).await;
    writer.commit(1, &late()).await;
    writer.commit(2, &stubs).await;

    for index in [&lived, &replayed, &rebuilt] {
        let row = index.version("r1", 1).await.unwrap().unwrap();
        assert!(row.erased && row.valid_from.is_none() && row.offset == 3);
        assert_eq!(index.outcomes(&[other.submission_id]).await.unwrap(), [], "nothing is known of the other content");
        assert_eq!(index.outcomes(&[first.submission_id]).await.unwrap().len(), 1);
        assert_eq!(index.quarantine("", None, 9).await.unwrap(), []);
        assert_eq!(index.alarms(9).await.unwrap(), []);
        let by_holder = |number| {
            let by = By::Holder { record_type: TYPE.into(), hash: hash("holder", number), after: None, limit: 9 };
            look(&**index, LookUp { by, holder: None, as_of: None, version: None })
        };
        assert_eq!((by_holder(1).await.len(), by_holder(2).await.len()), (0, 1));
    }
    assert_eq!(everything(&*lived).await, everything(&*replayed).await, "in one batch");
    assert_eq!(everything(&*lived).await, everything(&*rebuilt).await, "after compaction");
}
