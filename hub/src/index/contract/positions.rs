use futures::future::join_all;

use super::{
    Factory,
    fixtures::{OWNER, Writer, at_record, look, records, time},
    fresh,
};
use crate::index::Error;

pub(super) async fn a_lease_is_taken_once(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let partition = records(3);
    assert_eq!(index.position(&partition).await.unwrap(), None);
    let taken = index.lease(&partition, "a", time(0), time(10)).await.unwrap().unwrap();
    assert_eq!((taken.next, taken.current, taken.owner.as_deref(), taken.lease_until), (0, true, Some("a"), time(10)));
    assert!(taken.recent.is_empty());

    assert_eq!(index.lease(&partition, "b", time(1), time(11)).await.unwrap(), None, "a has it");
    assert_eq!(index.lease(&partition, "b", time(10) - 1, time(20)).await.unwrap(), None, "a still has it");
    let renewed = index.lease(&partition, "a", time(5), time(15)).await.unwrap().unwrap();
    assert_eq!(renewed.lease_until, time(15));
    assert_eq!(index.lease(&partition, "b", time(10), time(20)).await.unwrap(), None, "a renewed it");
    let lapsed = index.lease(&partition, "b", time(15), time(25)).await.unwrap().unwrap();
    assert_eq!(lapsed.owner.as_deref(), Some("b"));

    index.lease(&records(4), "b", time(0), time(9)).await.unwrap().unwrap();
    index.lease(&records(5), "a", time(0), time(9)).await.unwrap().unwrap();
    index.release("b").await.unwrap();
    let owners: Vec<_> = index.positions().await.unwrap().into_iter().map(|row| row.owner).collect();
    assert_eq!(owners, [None, None, Some("a".into())]);
    assert!(index.lease(&partition, "c", time(16), time(26)).await.unwrap().is_some(), "b gave it back");
}

pub(super) async fn one_of_many_takes_a_lease(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    let other = subject.open().await;
    let partition = records(0);
    for round in 0..5 {
        let names: Vec<_> = (0..8).map(|number| format!("instance-{number}")).collect();
        let tries = names.iter().enumerate().map(|(number, name)| {
            let index = if number % 2 == 0 { &index } else { &other };
            index.lease(&partition, name, time(round * 10), time(round * 10 + 10))
        });
        let taken = join_all(tries).await.into_iter().filter(|lease| lease.as_ref().unwrap().is_some()).count();
        assert_eq!(taken, 1, "round {round}");
    }
}

pub(super) async fn the_mark_of_a_repair_is_kept_under_the_lease(factory: &dyn Factory) {
    let (_subject, index) = fresh(factory).await;
    let mut writer = Writer::new(&index, records(0)).await;
    writer.index("r1", 1, Some(&[1]), &[]).await;
    assert!(look(&*index, at_record("r1")).await[0].partition_current);
    assert!(matches!(index.set_current(&writer.partition, "other", false).await, Err(Error::Stale(_))));
    assert!(index.position(&writer.partition).await.unwrap().unwrap().current);

    index.set_current(&writer.partition, OWNER, false).await.unwrap();
    assert!(!index.position(&writer.partition).await.unwrap().unwrap().current);
    assert!(!look(&*index, at_record("r1")).await[0].partition_current);
    writer.index("r1", 2, None, &[]).await;
    assert!(!index.position(&writer.partition).await.unwrap().unwrap().current, "a commit does not end a repair");
    let renewed = index.lease(&writer.partition, OWNER, time(0), i64::MAX).await.unwrap().unwrap();
    assert!(!renewed.current, "a lease does not end a repair");
    index.set_current(&writer.partition, OWNER, true).await.unwrap();
    assert!(look(&*index, at_record("r1")).await[0].partition_current);
}

pub(super) async fn the_registry_floor_only_rises(factory: &dyn Factory) {
    let (subject, index) = fresh(factory).await;
    assert_eq!(index.registry_floor().await.unwrap(), 0);
    for (raised, stands) in [(7, 7), (3, 7), (7, 7), (8, 8), (0, 8)] {
        index.raise_registry_floor(raised).await.unwrap();
        assert_eq!(index.registry_floor().await.unwrap(), stands);
        assert_eq!(index.look(&[at_record("none")]).await.unwrap().registry_floor, stands);
        assert_eq!(index.look(&[]).await.unwrap().registry_floor, stands);
    }
    join_all((0..20).map(|floor| index.raise_registry_floor(floor))).await;
    assert_eq!(subject.open().await.registry_floor().await.unwrap(), 19);
}
