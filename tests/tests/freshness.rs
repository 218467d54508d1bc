//! What was administered at one instance counts at every other from the moment the call returned, however late that one hears of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use weft_hub::log::Topic;
use weft_proto::v1::{self, Answering, publish_response::Kind, submission_answer};
use weft_record::status::{Event, Status};
use weft_tests::{
    delayed::Delayed,
    department::{Example, publish_once},
    eventually,
    hub::{TestHub, reopen},
    kafka, postgres, skipped_by_quick,
    story::Story,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Two instances over one log and one index; the second hears of the registry as late as it is told to.
struct Pair {
    first: TestHub,
    second: TestHub,
    late: Arc<Delayed>,
    story: Story,
}

impl Pair {
    async fn embedded() -> Self {
        let first = TestHub::start().await;
        let (stores, folder) = (first.stores.clone(), first.folder.clone());
        let late = Delayed::new(Arc::clone(&stores.log), Topic::Registry);
        let config = weft_hub::config::Config { instance: "hub-2".into(), ..first.config.clone() };
        let second = TestHub::run(config, late.before(&stores), folder).await;
        Self::begin(first, second, late).await
    }

    async fn served() -> Self {
        let (broker, server) = (kafka::shared().await, postgres::shared().await);
        let first = TestHub::start_served("fresh", broker, server).await;
        let config = weft_hub::config::Config { instance: "hub-2".into(), ..first.config.clone() };
        let stores = reopen(&config).await;
        let late = Delayed::new(Arc::clone(&stores.log), Topic::Registry);
        let second = TestHub::run(config, late.before(&stores), first.folder.clone()).await;
        Self::begin(first, second, late).await
    }

    async fn begin(first: TestHub, second: TestHub, late: Arc<Delayed>) -> Self {
        let mut story = Story::begin(&first).await;
        story.publish(&first, 0..10).await;
        drop(second.operator("wang").await);
        Self { first, second, late, story }
    }

    /// A look at the second instance.
    async fn look(&self, deadline: Duration) -> Result<v1::Answer, tonic::Status> {
        let mut request = Request::new(self.story.question(7));
        request.set_timeout(deadline);
        let response = self.story.window.at(&self.second).await.get_record(request).await?;
        Ok(response.into_inner().answer.expect("an answer"))
    }

    /// Answered as usual while nothing is late.
    async fn assert_answered(&self) {
        eventually(PATIENCE, || async {
            match self.look(Duration::from_secs(5)).await {
                Ok(answer) if answer.answering() == Answering::Satisfied => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn assert_refused(&self, deadline: Duration) {
        let refused = self.look(deadline).await.expect_err("no answer under the old state");
        // A client that gives up by its own clock says `Cancelled`.
        let allowed =
            [Code::PermissionDenied, Code::Unavailable, Code::Unauthenticated, Code::DeadlineExceeded, Code::Cancelled];
        assert!(allowed.contains(&refused.code()), "{refused}");
        println!("refused within {deadline:?}: {}", refused.code());
    }

    async fn stop(mut self) {
        self.late.set(Duration::ZERO);
        self.second.stop().await;
        self.first.stop().await;
    }
}

/// How long looks may wait; in the inner loop only the short one.
fn deadlines() -> Vec<Duration> {
    let long = (!skipped_by_quick("time for long deadlines")).then_some(Duration::from_secs(10));
    [Duration::from_secs(1)].into_iter().chain(long).collect()
}

/// Suspends and gives back the grant while the second instance hears of it late.
async fn a_suspended_grant(pair: &Pair) {
    for delay in [Duration::ZERO, Duration::from_secs(3), Duration::from_secs(60)] {
        for deadline in deadlines() {
            println!("late by {delay:?}, deadline {deadline:?}");
            pair.assert_answered().await;
            pair.late.set(delay);
            pair.first.decide("wang", &pair.story.grant, "suspended").await.expect("the grant is suspended");
            pair.assert_refused(deadline).await;
            pair.late.set(Duration::ZERO);
            pair.assert_refused(deadline).await;
            pair.first.decide("li", &pair.story.grant, "active").await.expect("the grant is given back");
        }
    }
}

/// A window that was cut off: nothing at an instance that has not heard of it, nor once it has while the look waits.
async fn a_revoked_window(pair: &Pair) {
    pair.assert_answered().await;
    pair.late.set(Duration::from_secs(3));
    let mut operator = pair.first.operator("wang").await;
    let identity = format!("spiffe://weft.test/window/{}", pair.story.window.name);
    operator
        .revoke_identity(v1::RevokeIdentityRequest { identity, why: "test".into(), ..Default::default() })
        .await
        .expect("the identity is revoked");
    pair.assert_refused(Duration::from_secs(10)).await;
    pair.late.set(Duration::ZERO);
}

/// Publishing under a view that is too old is refused as such.
async fn publishing_under_an_old_view(pair: &Pair) {
    pair.late.set(Duration::from_secs(60));
    let sealed = pair.story.department.seal(&Example::business_licence(700), 1, Event::Issue, Status::Valid);
    eventually(PATIENCE, || async {
        let bytes = vec![sealed.token.clone().into_bytes()];
        let mut client = pair.story.department.at(&pair.second).await;
        let heard = publish_once(&mut client, bytes).await.map_err(|status| status.to_string())?;
        match &heard.answers[sealed.id().as_slice()] {
            submission_answer::Kind::Retry(retry) if retry.reason == "registry_stale" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    pair.late.set(Duration::ZERO);
    eventually(PATIENCE, || async {
        let bytes = vec![sealed.token.clone().into_bytes()];
        let mut client = pair.story.department.at(&pair.second).await;
        let heard = publish_once(&mut client, bytes).await.map_err(|status| status.to_string())?;
        match &heard.answers[sealed.id().as_slice()] {
            submission_answer::Kind::Receipt(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// An open, idle stream at the second instance ends within 10 s of the revocation at the first.
async fn a_revoked_adapter_on_an_open_stream(pair: &Pair) {
    let (_sender, requests) = mpsc::channel::<v1::PublishRequest>(1);
    let mut client = pair.story.department.at(&pair.second).await;
    let mut stream = client.publish(ReceiverStream::new(requests)).await.expect("a stream").into_inner();
    let identity = format!("spiffe://weft.test/department/{}/adapter/main", pair.story.department.code);
    let mut operator = pair.first.operator("wang").await;
    operator
        .revoke_identity(v1::RevokeIdentityRequest { identity, why: "test".into(), ..Default::default() })
        .await
        .expect("the identity is revoked");
    let since = tokio::time::Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match stream.message().await {
                Ok(Some(v1::PublishResponse { kind: Some(Kind::Outcome(_) | Kind::Answer(_) | Kind::Resend(_)) })) => {}
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a word"),
                Err(status) => return status,
            }
        }
    })
    .await
    .expect("cut off within 10 s");
    println!("cut off after {:?}: {}", since.elapsed(), ended.code());
    assert!(matches!(ended.code(), Code::PermissionDenied | Code::Unauthenticated), "{ended}");
}

async fn all(pair: Pair) {
    a_suspended_grant(&pair).await;
    publishing_under_an_old_view(&pair).await;
    a_revoked_window(&pair).await;
    a_revoked_adapter_on_an_open_stream(&pair).await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_what_was_suspended_is_not_answered_elsewhere() {
    all(Pair::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn served_what_was_suspended_is_not_answered_elsewhere() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    all(Pair::served().await).await;
}
