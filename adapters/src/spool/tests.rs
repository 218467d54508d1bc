use tempfile::TempDir;
use weft_record::status::{State, Status};

use super::*;
use crate::{
    clock::SystemChance,
    mapping::{Draft, Intent},
    problem::{Reason, RowProblem},
};

const STATE: State = State { status: Status::Valid, frozen: false, suspended: false };

struct Place(TempDir);

impl Place {
    async fn open(&self) -> Spool {
        Spool::open(&self.0.path().join("spool.db"), &[3; 32], Arc::new(SystemChance)).await.unwrap()
    }
}

fn place() -> Place {
    Place(tempfile::tempdir().unwrap())
}

fn submission(number: u8, record_id: &str, version: u64) -> NewSubmission {
    let draft = Draft {
        valid_from: None,
        valid_until: None,
        holders: Vec::new(),
        fields: serde_json::Map::new(),
        intent: Intent::Is(Status::Valid),
    };
    NewSubmission {
        id: [number; 32],
        record_id: record_id.into(),
        record_type: "business-licence".into(),
        version,
        state: STATE,
        substance: [number; 32],
        draft,
        sealed: vec![number; 1_000],
        origin: Origin { source: "s".into(), unit: [9; 32], file: "a.csv".into(), line: u64::from(number) },
    }
}

async fn add(spool: &Spool, submissions: &[NewSubmission]) {
    let mut writes = spool.begin().await.unwrap();
    for submission in submissions {
        spool.add(&mut writes, submission, 1).await.unwrap();
    }
    spool.commit(writes).await.unwrap();
}

async fn ids(spool: &Spool) -> Vec<u8> {
    spool.next_batch(100, 1 << 20, 2).await.unwrap().iter().map(|outgoing| outgoing.id[0]).collect()
}

#[tokio::test]
async fn what_was_committed_is_there_after_every_reopening_and_nothing_else() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1), submission(2, "r", 2)]).await;
    let mut writes = spool.begin().await.unwrap();
    spool.add(&mut writes, &submission(3, "r", 3), 1).await.unwrap();
    drop(writes);
    spool.close().await;
    let spool = place.open().await;
    let batch = spool.next_batch(100, 1 << 20, 2).await.unwrap();
    assert_eq!(batch.iter().map(|outgoing| outgoing.sealed[0]).collect::<Vec<_>>(), [1, 2]);
    assert!(ids(&spool).await.is_empty(), "sent once");
    spool.close().await;
    let spool = place.open().await;
    assert_eq!(ids(&spool).await, [1, 2], "sent without an answer, so sent again, in order");
    let mut writes = spool.begin().await.unwrap();
    assert!(spool.receipted(&mut writes, &[1; 32], 3).await.unwrap());
    assert!(!spool.receipted(&mut writes, &[1; 32], 3).await.unwrap(), "no news");
    spool.commit(writes).await.unwrap();
    spool.close().await;
    let spool = place.open().await;
    assert_eq!(spool.counts().await.unwrap(), Counts { ready: 1, receipted: 1, ..Counts::default() });
    assert_eq!(spool.awaited(0, 10).await.unwrap().len(), 1);
    assert_eq!(spool.send_again(3, 4).await.unwrap(), 0);
    assert_eq!(spool.send_again(4, 5).await.unwrap(), 1, "without an outcome for too long");
    assert_eq!(ids(&spool).await, [1, 2]);
}

#[tokio::test]
async fn released_bytes_stay_seven_days_for_a_restored_hub() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1)]).await;
    assert_eq!(ids(&spool).await, [1]);
    let mut writes = spool.begin().await.unwrap();
    spool.end(&mut writes, &[1; 32], "released", 1_000).await.unwrap();
    spool.commit(writes).await.unwrap();
    let day = 24 * 3_600_000;
    spool.purge(6 * day).await.unwrap();
    let of = |name: &str| vec![name.to_owned()];
    assert_eq!(spool.resend(&of("real-estate-title"), 0, 2_000).await.unwrap(), 0);
    assert_eq!(spool.resend(&of("business-licence"), 1_001, 2_000).await.unwrap(), 0);
    assert_eq!(spool.resend(&of("business-licence"), 1_000, 2_000).await.unwrap(), 1);
    assert_eq!(spool.next_batch(1, 1, 3).await.unwrap()[0].sealed, vec![1; 1_000]);
    let mut writes = spool.begin().await.unwrap();
    spool.end(&mut writes, &[1; 32], "released", 1_000).await.unwrap();
    spool.commit(writes).await.unwrap();
    spool.purge(8 * day).await.unwrap();
    assert_eq!(spool.resend(&of("business-licence"), 0, 2_000).await.unwrap(), 0);
}

#[tokio::test]
async fn batches_keep_to_count_and_bytes_and_one_always_goes() {
    let place = place();
    let spool = place.open().await;
    let many: Vec<NewSubmission> = (1..=10).map(|number| submission(number, &format!("r{number}"), 1)).collect();
    add(&spool, &many).await;
    assert_eq!(spool.next_batch(3, 1 << 20, 2).await.unwrap().len(), 3);
    assert_eq!(spool.next_batch(100, 2_500, 2).await.unwrap().len(), 2);
    assert_eq!(spool.next_batch(100, 1, 2).await.unwrap().len(), 1);
    assert_eq!(ids(&spool).await, [7, 8, 9, 10]);
}

#[tokio::test]
async fn a_version_waits_for_the_answer_to_the_one_before_in_another_batch() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1), submission(2, "r", 2), submission(3, "s", 1)]).await;
    assert_eq!(spool.next_batch(1, 1 << 20, 2).await.unwrap().len(), 1);
    assert_eq!(ids(&spool).await, [3]);
    let mut writes = spool.begin().await.unwrap();
    spool.receipted(&mut writes, &[1; 32], 3).await.unwrap();
    spool.commit(writes).await.unwrap();
    assert_eq!(ids(&spool).await, [2]);
}

#[tokio::test]
async fn another_key_does_not_open_it_and_moved_bytes_do_not_decrypt() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1), submission(2, "r", 2)]).await;
    spool.close().await;
    let path = place.0.path().join("spool.db");
    let other = Spool::open(&path, &[4; 32], Arc::new(SystemChance)).await;
    assert!(matches!(other, Err(Error::Damaged)));
    let spool = place.open().await;
    let sql = "UPDATE submissions SET sealed = (SELECT sealed FROM submissions WHERE seq = 1) WHERE seq = 2";
    sqlx::query(sql).execute(&spool.pool).await.unwrap();
    assert!(matches!(spool.next_batch(10, 1 << 20, 2).await, Err(Error::Damaged)));
}

#[tokio::test]
async fn a_head_of_the_hub_is_taken_over_and_keeps_what_is_under_way() {
    let place = place();
    let spool = place.open().await;
    let head = |version| Standing { version, state: Some(STATE), substance: Some([5; 32]) };
    let mut writes = spool.begin().await.unwrap();
    spool.take_head(&mut writes, "a", "business-licence", head(4)).await.unwrap();
    let mut busy = Record::new("b", "business-licence");
    (busy.head, busy.tip) = (head(1), head(3));
    spool.put_record(&mut writes, &busy).await.unwrap();
    spool.take_head(&mut writes, "b", "business-licence", head(2)).await.unwrap();
    let a = spool.record(&mut writes, "a").await.unwrap().unwrap();
    assert_eq!((a.head.version, a.tip.version), (4, 4));
    let b = spool.record(&mut writes, "b").await.unwrap().unwrap();
    assert_eq!((b.head.version, b.tip.version), (2, 3));
}

#[tokio::test]
async fn problems_are_kept_once_and_closed_when_the_record_is_indexed() {
    use crate::problem::{Reason, RowProblem};
    let place = place();
    let spool = place.open().await;
    let problem = RowProblem::new(7, "成立日期", Reason::DateImpossible).in_file("a.csv").value("2019-02-29", false);
    let mut writes = spool.begin().await.unwrap();
    for expected in [true, false] {
        let added = spool.add_problem(&mut writes, ("s", &[9; 32]), Some("r"), &problem, 5).await.unwrap();
        assert_eq!(added, expected);
    }
    spool.commit(writes).await.unwrap();
    let open = spool.problems(None).await.unwrap();
    assert_eq!((open.len(), &open[0].problem), (1, &problem));
    let mut writes = spool.begin().await.unwrap();
    spool.close_problems(&mut writes, "r", &[8; 32], 6).await.unwrap();
    spool.commit(writes).await.unwrap();
    assert!(spool.problems(None).await.unwrap().is_empty());
    assert_eq!(spool.problems(Some(&[9; 32])).await.unwrap().len(), 1, "of its own file it is still told");
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_heals() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1)]).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&spool.pool).await.unwrap();
    let limit = |pages: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit(pages)).execute(&spool.pool).await.unwrap();
    let full = spool.set_fact("big", &"x".repeat(200_000)).await.unwrap_err();
    assert!(full.is_full(), "{full:?}");
    assert_eq!(spool.fact("big").await.unwrap(), None, "nothing of it is there");
    sqlx::query(limit(1_000_000)).execute(&spool.pool).await.unwrap();
    spool.set_fact("big", &"x".repeat(200_000)).await.unwrap();
    assert_eq!(ids(&spool).await, [1], "and nothing was lost");
    assert!(!Error::Damaged.is_full());
}

#[tokio::test]
async fn what_a_stopped_source_gave_is_not_sent_until_it_is_resumed() {
    let place = place();
    let spool = place.open().await;
    add(&spool, &[submission(1, "r", 1), submission(2, "q", 1)]).await;
    let halt = crate::life::Halt::Stopped { zh: "停".into(), en: "stopped".into() };
    spool.halt("s", &halt).await.unwrap();
    assert!(ids(&spool).await.is_empty());
    assert_eq!(spool.counts().await.unwrap(), Counts { stopped: 2, ..Counts::default() });
    assert_eq!(spool.counts().await.unwrap().under_way(), 0, "nobody waits for it");
    spool.resume("s").await.unwrap();
    assert_eq!(ids(&spool).await, [1, 2]);
    let backlog = spool.backlog().await.unwrap();
    assert_eq!((backlog.len(), backlog[0].unsent, backlog[0].awaiting, backlog[0].oldest_ms), (1, 2, 0, 1));
}

#[tokio::test]
async fn an_order_is_carried_out_once() {
    let place = place();
    let spool = place.open().await;
    let order = |id: &str| Order {
        id: id.into(),
        kind: OrderKind::Resync,
        source: "s".into(),
        since_ms: Some(5),
        repair: false,
    };
    spool.order(&order("a"), 1).await.unwrap();
    let beside = Spool::beside(&place.0.path().join("spool.db"), &[3; 32], Arc::new(SystemChance)).await.unwrap();
    beside.order(&order("b"), 2).await.unwrap();
    beside.order(&order("a"), 3).await.unwrap();
    assert_eq!(spool.next_order(false).await.unwrap(), Some(order("a")));
    assert_eq!(beside.ended_order("a").await.unwrap(), None);
    let told = Told { done: true, zh: "好".into(), en: "done".into() };
    spool.end_order("a", &told, 10).await.unwrap();
    assert_eq!(beside.ended_order("a").await.unwrap(), Some(told.clone()));
    spool.order(&order("a"), 11).await.unwrap();
    assert_eq!(spool.next_order(false).await.unwrap(), Some(order("b")), "the first is done, whoever asks again");
    assert_eq!(spool.ended_orders(10).await.unwrap(), [("a".to_owned(), told)]);
    assert!(spool.ended_orders(11).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_older_unit_that_is_read_again_says_nothing_new_of_a_record() {
    let place = place();
    let spool = place.open().await;
    let (old, new) = ([1; 32], [2; 32]);
    spool.finish_unit("s", ("old.csv", &old), (1, 1), false, 10).await.unwrap();
    spool.finish_unit("s", ("new.csv", &new), (1, 1), false, 20).await.unwrap();
    let mut writes = spool.begin().await.unwrap();
    let record = Record { taken: Some((new, 0)), ..Record::new("r", "business-licence") };
    spool.put_record(&mut writes, &record).await.unwrap();
    assert!(spool.taken_later(&mut writes, "r", &old).await.unwrap());
    assert!(!spool.taken_later(&mut writes, "r", &new).await.unwrap());
    spool.commit(writes).await.unwrap();
    assert!(spool.unit_done(&old).await.unwrap());
    spool.read_again(15).await.unwrap();
    assert!(spool.unit_done(&old).await.unwrap() && !spool.unit_done(&new).await.unwrap());
    spool.finish_unit("s", ("new.csv", &new), (1, 1), false, 30).await.unwrap();
    assert!(spool.unit_done(&new).await.unwrap(), "once");
}

#[tokio::test]
async fn a_row_without_a_key_is_settled_by_what_replaced_it_or_by_a_person() {
    let place = place();
    let spool = place.open().await;
    let told = |line| RowProblem::new(line, "许可证编号", Reason::KeyMissing).in_file("monday.csv");
    let open = async || spool.open_problems().await.unwrap();
    let add = async |source: &str, unit: u8| {
        let mut writes = spool.begin().await.unwrap();
        spool.add_problem(&mut writes, (source, &[unit; 32]), None, &told(u64::from(unit)), 1).await.unwrap();
        spool.commit(writes).await.unwrap();
    };
    add("s", 1).await;
    add("other", 2).await;
    spool.finish_unit("s", ("tuesday.csv", &[3; 32]), (1, 1), false, 10).await.unwrap();
    assert_eq!(open().await, 2, "an increment says nothing of a row that was in another");
    spool.finish_unit("s", ("monday.csv", &[4; 32]), (1, 1), false, 20).await.unwrap();
    assert_eq!(open().await, 1, "the file of this name replaced it");
    add("s", 5).await;
    spool.finish_unit("s", ("wednesday.csv", &[6; 32]), (1, 1), true, 30).await.unwrap();
    assert_eq!(open().await, 1, "a whole snapshot replaces all");
    add("s", 7).await;
    assert_eq!(spool.close_nameless("s", Some("tuesday.csv"), 40).await.unwrap(), 0);
    assert_eq!(spool.close_nameless("s", None, 40).await.unwrap(), 1);
    assert_eq!(open().await, 1, "the other source's");
}

#[tokio::test]
async fn a_note_about_a_unit_is_open_until_the_next_one() {
    let place = place();
    let spool = place.open().await;
    let note = RowProblem::new(3, "发证日期", Reason::Normalised).in_file("monday.csv").as_note();
    let mut writes = spool.begin().await.unwrap();
    spool.add_problem(&mut writes, ("s", &[1; 32]), None, &note, 1).await.unwrap();
    spool.commit(writes).await.unwrap();
    spool.finish_unit("s", ("monday.csv", &[1; 32]), (1, 1), false, 10).await.unwrap();
    assert_eq!(spool.problems(None).await.unwrap().len(), 1);
    spool.finish_unit("s", ("tuesday.csv", &[2; 32]), (1, 1), false, 20).await.unwrap();
    assert!(spool.problems(None).await.unwrap().is_empty());
    assert_eq!(spool.problems(Some(&[1; 32])).await.unwrap().len(), 1, "with its unit it is still shown");
}

#[tokio::test]
async fn a_transaction_that_the_database_ended_by_itself_is_not_in_the_way_of_the_next() {
    let place = place();
    let spool = place.open().await;
    for _ in 0..2 {
        let mut writes = spool.begin().await.unwrap();
        // As it does when the disk fills up.
        sqlx::raw_sql("ROLLBACK").execute(&mut *writes).await.unwrap();
        drop(writes);
        let mut writes = spool.begin().await.unwrap();
        let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES ('x', 'y')";
        sqlx::raw_sql(sql).execute(&mut *writes).await.unwrap();
        spool.commit(writes).await.unwrap();
        assert_eq!(spool.fact("x").await.unwrap().as_deref(), Some("y"));
        spool.forget_fact("x").await.unwrap();
    }
}

#[test]
fn what_waits_before_the_spool_is_unsent_too() {
    let in_spool = Backlog { record_type: "a".into(), unsent: 2, awaiting: 1, oldest_ms: 50, ..Backlog::default() };
    let mut all = vec![in_spool.clone()];
    Backlog::add_unread(&mut all, "a", 0, None);
    assert_eq!(all, [in_spool]);
    Backlog::add_unread(&mut all, "a", 3, Some(40));
    Backlog::add_unread(&mut all, "b", 1, Some(60));
    assert_eq!((all[0].unsent, all[0].unread, all[0].awaiting, all[0].oldest_ms), (5, 3, 1, 40));
    assert_eq!((all[1].record_type.as_str(), all[1].unsent, all[1].oldest_ms), ("b", 1, 60));
    Backlog::add_unread(&mut all, "b", 1, Some(70));
    assert_eq!((all[1].unread, all[1].oldest_ms), (2, 60));
}

#[tokio::test]
async fn a_reading_goes_on_where_its_rows_are_durable() {
    let place = place();
    let spool = place.open().await;
    let (unit, other) = ([1; 32], [2; 32]);
    assert_eq!(spool.reading("s", &unit).await.unwrap(), None);
    spool.begin_reading("s", &unit, b"planned").await.unwrap();
    let mut writes = spool.begin().await.unwrap();
    spool.reached(&mut writes, &unit, b"lost").await.unwrap();
    drop(writes);
    let reading = spool.reading("s", &unit).await.unwrap().unwrap();
    assert_eq!(reading, Reading { planned: b"planned".to_vec(), reached: None }, "nothing without its rows");
    let mut writes = spool.begin().await.unwrap();
    spool.reached(&mut writes, &unit, b"row 5").await.unwrap();
    spool.commit(writes).await.unwrap();
    assert_eq!(spool.reading("s", &unit).await.unwrap().unwrap().reached.as_deref(), Some(&b"row 5"[..]));
    spool.begin_reading("t", &other, b"").await.unwrap();
    spool.finish_unit("s", ("u", &unit), (5, 5), false, 1).await.unwrap();
    assert_eq!(spool.reading("s", &unit).await.unwrap(), None);
    assert!(spool.reading("t", &other).await.unwrap().is_some());
    spool.begin_reading("t", &unit, b"").await.unwrap();
    assert_eq!(spool.reading("t", &other).await.unwrap(), None, "one unit of a source is in hand");
    spool.read_again(0).await.unwrap();
    assert_eq!(spool.reading("t", &unit).await.unwrap(), None, "what is read again is read from its beginning");
}
