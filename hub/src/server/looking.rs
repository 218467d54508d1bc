//! The Query service: the wire of [`crate::query`].

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic::{Request, Response, Status};
use weft_proto::{
    Reason, Refusal,
    v1::{self, get_record_request::By, query_server::Query as QueryApi},
};

use super::{auth::window, quota::Quotas};
use crate::{
    keys::Keys,
    metrics::Metrics,
    query::{Answered, Query, Question, page},
};

/// The service.
#[derive(Debug)]
pub struct Looking {
    query: Arc<Query>,
    keys: Arc<Keys>,
    quotas: Quotas,
    most: Duration,
    metrics: Arc<Metrics>,
}

impl Looking {
    /// Over a query, with these quotas; a look takes at most `most`.
    pub fn new(query: Arc<Query>, keys: Arc<Keys>, quotas: Quotas, most: Duration, metrics: Arc<Metrics>) -> Self {
        Self { query, keys, quotas, most, metrics }
    }

    async fn timed(
        &self,
        window: &str,
        look: Option<&v1::Look>,
        question: &Question,
        deadline: Instant,
    ) -> Result<Answered, Refusal> {
        let began = Instant::now();
        let answered = self.query.look(window, look, question, deadline).await;
        match &answered {
            Ok(answered) => self.metrics.count_look(answered.answering, began.elapsed()),
            Err(refusal) if matches!(refusal.reason, Reason::Denied | Reason::FieldNotGranted) => {
                self.metrics.count_look(v1::Answering::Denied, began.elapsed());
            }
            Err(_) => {}
        }
        let in_vain = match &answered {
            Ok(answered) => answered.answers.is_empty() && answered.next.is_none(),
            Err(refusal) => refusal.reason == Reason::Denied,
        };
        if in_vain {
            let holder = look.and_then(|look| look.holder.as_ref()).map(|holder| (&holder.scheme, &holder.value));
            self.quotas.in_vain(window, &(question, holder));
        }
        answered
    }

    fn deadline<T>(&self, request: &Request<T>) -> Instant {
        let asked = request.metadata().get("grpc-timeout").and_then(|text| text.to_str().ok()).and_then(grpc_timeout);
        // A little is kept back for the ways here and back: who hears nothing in time hears no reason.
        let ways = |asked: Duration| (asked / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
        let wait = asked.map_or(self.most, |asked| asked.saturating_sub(ways(asked)).min(self.most));
        Instant::now() + wait
    }
}

/// `grpc-timeout`: up to 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[tonic::async_trait]
impl QueryApi for Looking {
    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let window = window(&request)?;
        self.quotas.admit(&window)?;
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let question = match request.by {
            Some(By::RecordId(id)) => Question::Record(id),
            Some(By::Identifier(one)) => {
                Question::Identifier { record_type: one.record_type, field: one.field, value: one.value }
            }
            None => return Err(Refusal::new(Reason::BadRequest).field("by", "name a record or an identifier").into()),
        };
        let answered = self.timed(&window, request.look.as_ref(), &question, deadline).await?;
        Ok(Response::new(v1::GetRecordResponse { answer: Some(one_answer(answered)) }))
    }

    async fn list_holder_records(
        &self,
        request: Request<v1::ListHolderRecordsRequest>,
    ) -> Result<Response<v1::ListHolderRecordsResponse>, Status> {
        let window = window(&request)?;
        self.quotas.admit(&window)?;
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let limit = page::size(request.page_size, 20, 100)?;
        let asked = question_text(&self.keys, &request);
        let after = page::after(&self.keys, &window, &asked, &request.page_token)?;
        let question = Question::Holder { record_type: request.record_type.clone(), after, limit };
        let answered = self.timed(&window, request.look.as_ref(), &question, deadline).await?;
        let next =
            answered.next.as_deref().map(|after| page::token(&self.keys, &window, &asked, after)).unwrap_or_default();
        Ok(Response::new(v1::ListHolderRecordsResponse {
            answers: answered.answers,
            next_page_token: next,
            answering: answered.answering.into(),
            receipt: Some(answered.receipt),
        }))
    }
}

/// What a page token is bound to: the question without its page and its request id. Keyed, so it tells nothing.
fn question_text(keys: &Keys, request: &v1::ListHolderRecordsRequest) -> String {
    let mut look = request.look.clone().unwrap_or_default();
    look.request_id.clear();
    let text = prost::Message::encode_to_vec(&look);
    format!("{}/{}", request.record_type, hex::encode(keys.page_mac(&[&text])))
}

/// A record by its identifier is one answer; where several match (an identifier that two records share), the word is `ambiguous`
/// and none is guessed.
fn one_answer(answered: Answered) -> v1::Answer {
    let Answered { answering, mut answers, receipt, .. } = answered;
    if let (1, Some(answer)) = (answers.len(), answers.pop()) {
        return answer;
    }
    let (zh, en) = crate::query::answering::sentence(answering);
    v1::Answer {
        answering: answering.into(),
        receipt: Some(receipt),
        zh: zh.into(),
        en: en.into(),
        ..v1::Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("0n", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1s", None),
        ] {
            assert_eq!(grpc_timeout(text), expected, "{text}");
        }
    }
}
