use super::{
    Factory,
    fixtures::{
        TYPE, Writer, at_record, hash, head, look, merge, quarantine, quarantine_partition, records, refused, time,
        version,
    },
    fresh,
};
use crate::index::{
    By, LookUp,
    rows::{QuarantineRow, Rows},
};

fn by_identifier_number(number: u64) -> LookUp {
    let by = By::Identifier { record_type: TYPE.into(), hash: hash("identifier", number) };
    LookUp { by, holder: None, as_of: None, version: None }
}

fn by_holder_number(number: u64, after: Option<&str>, limit: u32) -> LookUp {
    let by = By::Holder { record_type: TYPE.into(), hash: hash("holder", number), after: after.map(Into::into), limit };
    LookUp { by, holder: Some(hash("holder", number)), as_of: None, version: None }
}

fn asking(holder: u64, look_up: LookUp) -> LookUp {
    LookUp { holder: Some(hash("holder", holder)), ..look_up }
}

pub(super) async fn by_record(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let first = writer.index("r1", 1, Some(&[1]), &[]).await;
    let second = writer.index("r1", 2, Some(&[2, 3]), &[]).await;
    writer.index("r2", 1, Some(&[1]), &[]).await;

    let now = look(&*index, at_record("r1")).await;
    assert_eq!(now.len(), 1);
    assert_eq!((&now[0].row, now[0].is_head, now[0].holder_matches), (&second, true, false));
    assert_eq!((now[0].waiting_behind_gap, now[0].higher_in_quarantine, now[0].partition_current), (None, false, true));
    for (holder, matches) in [(1, false), (2, true), (3, true), (4, false)] {
        assert_eq!(look(&*index, asking(holder, at_record("r1"))).await[0].holder_matches, matches, "holder {holder}");
    }

    let pinned = |version| LookUp { version: Some(version), ..asking(1, at_record("r1")) };
    let found = look(&*index, pinned(1)).await;
    assert_eq!((&found[0].row, found[0].is_head, found[0].holder_matches), (&first, false, true));
    assert!(look(&*index, pinned(2)).await[0].is_head);
    assert!(look(&*index, pinned(3)).await.is_empty());
    assert!(look(&*index, at_record("r3")).await.is_empty());
}

pub(super) async fn by_record_at_a_time(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let first = writer.index("r1", 1, Some(&[1]), &[]).await;
    let second = writer.index("r1", 2, Some(&[2]), &[]).await;
    let at = |as_of| LookUp { as_of: Some(as_of), ..asking(1, at_record("r1")) };
    assert!(look(&*index, at(first.accepted_at - 1)).await.is_empty());
    let found = look(&*index, at(first.accepted_at)).await;
    assert_eq!((&found[0].row, found[0].is_head, found[0].holder_matches), (&first, false, true));
    assert_eq!(look(&*index, at(second.accepted_at - 1)).await[0].row, first);
    let found = look(&*index, at(second.accepted_at)).await;
    assert_eq!((&found[0].row, found[0].is_head, found[0].holder_matches), (&second, true, false));
}

pub(super) async fn by_identifier(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let first = writer.index("r1", 1, Some(&[1]), &[7]).await;
    let second = writer.index("r1", 2, Some(&[1]), &[8]).await;
    let other = writer.index("r0", 1, Some(&[2]), &[8]).await;

    let found = look(&*index, asking(1, by_identifier_number(8))).await;
    assert_eq!(found.iter().map(|found| &found.row).collect::<Vec<_>>(), [&other, &second], "both, never guessed");
    assert_eq!(found.iter().map(|found| found.holder_matches).collect::<Vec<_>>(), [false, true]);
    assert!(look(&*index, by_identifier_number(7)).await.is_empty(), "no longer its number");
    let history = LookUp { as_of: Some(first.accepted_at), ..by_identifier_number(7) };
    assert_eq!(look(&*index, history).await[0].row, first);
    let history = LookUp { as_of: Some(first.accepted_at), ..by_identifier_number(8) };
    assert!(look(&*index, history).await.is_empty(), "not yet its number");
    let by = By::Identifier { record_type: "other-type".into(), hash: hash("identifier", 8) };
    assert!(look(&*index, LookUp { by, ..at_record("") }).await.is_empty());
    assert!(look(&*index, by_identifier_number(9)).await.is_empty());
}

pub(super) async fn by_holder_in_pages(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    for number in [3, 1, 5, 2, 4] {
        writer.index(&format!("r{number}"), 1, Some(&[1, 2]), &[]).await;
    }
    writer.index("r2", 2, Some(&[2]), &[]).await;
    writer.index("r3", 2, Some(&[1, 3]), &[]).await;

    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let found = look(&*index, by_holder_number(1, after.as_deref(), 3)).await;
        assert!(found.iter().all(|found| found.holder_matches && found.is_head));
        let page: Vec<_> = found.into_iter().map(|found| found.row.record_id).collect();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        pages.push(page);
    }
    assert_eq!(pages, [vec!["r1", "r3", "r4"], vec!["r5"]], "in rising order, without r2 that it lost");
    assert!(look(&*index, by_holder_number(9, None, 3)).await.is_empty());
    assert!(look(&*index, by_holder_number(1, None, 0)).await.is_empty());

    let batch = [by_holder_number(3, None, 9), by_holder_number(9, None, 9), by_holder_number(2, Some("r3"), 1)];
    let looked = index.look(&batch).await.unwrap();
    let ids: Vec<Vec<_>> =
        looked.found.iter().map(|found| found.iter().map(|found| found.row.record_id.as_str()).collect()).collect();
    assert_eq!(ids, [vec!["r3"], vec![], vec!["r4"]], "each within its own limit");
}

pub(super) async fn by_holder_at_a_time(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[]).await;
    writer.index("r2", 1, Some(&[1]), &[]).await;
    writer.index("r1", 2, Some(&[2]), &[]).await;
    writer.index("r1", 3, Some(&[1]), &[]).await;
    for (offset, expected) in
        [(0, vec![("r1", 1)]), (1, vec![("r1", 1), ("r2", 1)]), (2, vec![("r2", 1)]), (3, vec![("r1", 3), ("r2", 1)])]
    {
        let found = look(&*index, LookUp { as_of: Some(time(offset)), ..by_holder_number(1, None, 9) }).await;
        let ids: Vec<_> = found.iter().map(|found| (found.row.record_id.as_str(), found.row.version)).collect();
        assert_eq!(ids, expected, "at {offset}");
        assert!(found.iter().all(|found| found.holder_matches));
    }
    let paged = LookUp { as_of: Some(time(1)), ..by_holder_number(1, Some("r1"), 1) };
    assert_eq!(look(&*index, paged).await[0].row.record_id, "r2");
}

pub(super) async fn holders_of_a_version_that_took_away(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[7]).await;
    let revoked = writer.index("r1", 2, None, &[]).await;
    let found = look(&*index, by_holder_number(1, None, 9)).await;
    assert_eq!((&found[0].row, found[0].holder_matches), (&revoked, true));
    assert_eq!(look(&*index, by_identifier_number(7)).await[0].row, revoked);
    writer.index("r1", 3, Some(&[2]), &[]).await;
    assert!(look(&*index, by_holder_number(1, None, 9)).await.is_empty());
    let pinned = LookUp { version: Some(2), ..asking(1, at_record("r1")) };
    assert!(look(&*index, pinned).await[0].holder_matches);
}

pub(super) async fn doubts(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    let mut door = Writer::new(&index, quarantine_partition()).await;
    let first = writer.index("r1", 1, Some(&[1]), &[]).await;
    let late = version(&writer.partition, "r1", 4, 1);
    let gap = Rows { heads: vec![head(&first, Some(4))], ..Rows::default() };
    writer.commit(1, &merge([gap, refused(&late, "gap", 1)])).await;
    assert_eq!(look(&*index, at_record("r1")).await[0].waiting_behind_gap, Some(4));

    let early = version(&writer.partition, "r2", 3, 2);
    writer.commit(1, &refused(&early, "gap", 0)).await;
    assert!(look(&*index, at_record("r2")).await.is_empty());
    writer.index("r2", 1, Some(&[1]), &[]).await;
    assert_eq!(look(&*index, at_record("r2")).await[0].waiting_behind_gap, Some(3), "it came before the first");

    let row = |record: &str, version, offset| Rows {
        quarantine: vec![quarantine(record, version, offset)],
        ..Rows::default()
    };
    door.commit(1, &row("r1", 1, 0)).await;
    assert!(!look(&*index, at_record("r1")).await[0].higher_in_quarantine, "not higher");
    let foreign = QuarantineRow { department: "other".into(), ..quarantine("r1", 9, 1) };
    door.commit(1, &Rows { quarantine: vec![foreign], ..Rows::default() }).await;
    assert!(!look(&*index, at_record("r1")).await[0].higher_in_quarantine, "of another department");
    door.commit(1, &row("r1", 2, 2)).await;
    assert!(look(&*index, at_record("r1")).await[0].higher_in_quarantine);
    let pinned = LookUp { version: Some(1), ..at_record("r1") };
    assert!(look(&*index, pinned).await[0].higher_in_quarantine);

    for number in 2..=4 {
        let row = version(&writer.partition, "r1", number, writer.next + 10);
        let rows = super::fixtures::indexed(&row, Some(4), None, &[]);
        writer.commit(1, &rows).await;
        let found = look(&*index, at_record("r1")).await;
        assert_eq!(found[0].waiting_behind_gap, (number < 4).then_some(4), "version {number}");
        assert!(!found[0].higher_in_quarantine);
    }
}

pub(super) async fn many_kinds_in_one_snapshot(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    for number in 1..=70 {
        writer.index(&format!("r{number:02}"), 1, Some(&[number % 7]), &[number]).await;
    }
    index.raise_registry_floor(3).await.unwrap();
    let look_ups: Vec<_> = (1..=90)
        .map(|number| match number % 3 {
            0 => at_record(&format!("r{number:02}")),
            1 => by_identifier_number(number),
            _ => by_holder_number(number % 7, None, 4),
        })
        .collect();
    let looked = index.look(&look_ups).await.unwrap();
    assert_eq!((looked.registry_floor, looked.found.len()), (3, 90));
    for (number, found) in (1..=90_u64).zip(&looked.found) {
        let expected = match number % 3 {
            2 => 4,
            _ => usize::from(number <= 70),
        };
        assert_eq!(found.len(), expected, "look-up {number}");
        if number % 3 != 2 && expected == 1 {
            assert_eq!(found[0].row.record_id, format!("r{number:02}"));
        }
    }
    let only_missing = [by_identifier_number(99), by_holder_number(99, None, 1)];
    let looked = index.look(&only_missing).await.unwrap();
    assert_eq!((looked.registry_floor, looked.found), (3, vec![vec![], vec![]]));
}
