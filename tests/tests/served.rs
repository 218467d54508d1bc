//! The same way on Apache Kafka and PostgreSQL, with two hub instances.

use weft_proto::v1::{Answering, OutcomeKind};
use weft_record::status::{Event, Status};
use weft_tests::{
    department::{Example, publish_at},
    hub::TestHub,
    kafka, postgres, skipped_by_quick,
    window::{grant, look},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_publish_index_and_answer_as_one() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let (broker, server) = (kafka::shared().await, postgres::shared().await);
    let mut first = TestHub::start_served("served", broker, server).await;
    let department = first.department("market-regulation", &["business-licence"]).await;
    let window = first.window("hall-1").await;
    first.grant(grant("hall-1", "business-licence", "market-regulation", &["uscc", "name"])).await;
    let mut second = first.another("hub-2").await;
    drop(second.operator("wang").await);

    let examples: Vec<Example> = (0..200).map(Example::business_licence).collect();
    let sealed: Vec<_> = examples.iter().map(|one| department.seal(one, 1, Event::Issue, Status::Valid)).collect();
    let bytes =
        |range: std::ops::Range<usize>| sealed[range].iter().map(|one| one.token.clone().into_bytes()).collect();
    let (mut at_first, mut at_second) = (department.at(&first).await, department.at(&second).await);
    let (one, other) =
        tokio::join!(publish_at(&mut at_first, bytes(0..120)), publish_at(&mut at_second, bytes(80..200)));
    let (one, other) = (one.unwrap(), other.unwrap());
    for (at, sealed) in sealed.iter().enumerate() {
        let heard = if at < 120 { &one } else { &other };
        assert_eq!(heard.outcome(sealed), OutcomeKind::Indexed, "record {at}");
    }
    assert_eq!(first.status(false).await.indexed, 200);

    // What was published at one instance is answered at the other.
    let mut query = window.at(&second).await;
    let holder = examples[5].holders[0].value.clone();
    let request = weft_proto::v1::GetRecordRequest {
        look: Some(look(weft_tests::window::ITEM, Some(("uscc", &holder)))),
        by: Some(weft_proto::v1::get_record_request::By::RecordId(sealed[5].record_id.clone())),
    };
    let answer = query.get_record(request).await.unwrap().into_inner().answer.unwrap();
    assert_eq!(answer.answering(), Answering::Satisfied);

    // A rebuild at one instance is the rebuild of both: the digest is the index's.
    let before = first.status(true).await.index_digest;
    first.stop().await;
    assert_eq!(second.status(true).await.index_digest, before);
    second.stop().await;
}
