//! The endpoint: `POST /v1/records` takes one or many records as JSON, `GET /v1/records/{id}` tells what became of them.
//!
//! 202 is said when what was posted is on disk. A caller that got no answer posts again: rows that say nothing new make
//! no version.

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::BytesRejection},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{json, value::RawValue};
use zeroize::Zeroizing;

use super::{config::PushConfig, status};
use crate::{
    source::{inbox::Inbox, keeping::Keeping},
    spool::Spool,
};

/// What the endpoint works with.
pub(super) struct Endpoint {
    pub(super) source: String,
    pub(super) config: PushConfig,
    pub(super) keeping: Keeping,
    pub(super) inbox: Inbox,
    pub(super) spool: Option<Spool>,
    pub(super) token: Zeroizing<String>,
}

/// Why a request is not served, with what to do about it.
struct Refusal {
    status: StatusCode,
    reason: &'static str,
    zh: String,
    en: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { status, reason, zh: zh.into(), en: en.into() }
    }
}

impl axum::response::IntoResponse for Refusal {
    /// A problem in the form of RFC 9457.
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.reason,
            "status": self.status.as_u16(),
            "detail": self.en,
            "detail_zh": self.zh,
        });
        let kind = [(axum::http::header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.to_string()).into_response()
    }
}

pub(super) fn router(endpoint: Endpoint) -> Router {
    let longest = endpoint.config.max_body_bytes;
    let state = Arc::new(endpoint);
    Router::new()
        .route("/v1/records", post(take))
        .route("/v1/records/{id}", get(tell))
        .layer(DefaultBodyLimit::max(longest))
        .layer(middleware::from_fn_with_state(state.clone(), authorised))
        .with_state(state)
}

/// The token is compared in constant time.
async fn authorised(State(endpoint): State<Arc<Endpoint>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.strip_prefix("Bearer ").unwrap_or_default();
    let right = aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), endpoint.token.as_bytes());
    if right.is_err() {
        tracing::warn!(source = %endpoint.source, "a caller without the token was refused");
        let (zh, en) = ("请在 Authorization 头中给出令牌", "give the token as `Authorization: Bearer …`");
        return Refusal::new(StatusCode::UNAUTHORIZED, "token_wrong", zh, en).into_response();
    }
    next.run(request).await
}

async fn take(
    State(endpoint): State<Arc<Endpoint>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl axum::response::IntoResponse, Refusal> {
    let body = body.map_err(|rejection| {
        let limit = endpoint.config.max_body_bytes;
        let zh = format!("请求体未读完或超过 {limit} 字节；请分批提交");
        let en = format!("the body ended early or is longer than {limit} bytes; post less at a time");
        Refusal::new(rejection.status(), "body_unreadable", zh, en)
    })?;
    let kept = tokio::task::spawn_blocking(move || keep(&endpoint, &body)).await;
    let (id, rows) = kept.unwrap_or_else(|error| Err(failed(&io::Error::other(error))))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "records": rows }))))
}

fn failed(error: &io::Error) -> Refusal {
    let full =
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge);
    if full {
        return Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "适配器的磁盘已满，未接收；腾出空间后重新提交",
            "the adapter's disk is full and nothing was taken; make room and post again",
        );
    }
    tracing::error!(%error, "what was posted could not be kept");
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_kept",
        "适配器未能落盘，未接收；请稍后重新提交",
        "the adapter could not keep it and nothing was taken; post again later",
    )
}

/// Keeps what was posted. On disk when this returns.
fn keep(endpoint: &Endpoint, body: &[u8]) -> Result<(String, u64), Refusal> {
    let records = records(body)?;
    let waiting = endpoint.inbox.bytes().map_err(|error| failed(&error))?;
    if waiting.saturating_add(body.len() as u64) > endpoint.config.max_waiting_bytes {
        return Err(Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "inbox_full",
            "待处理的数据已达上限，未接收；请稍后重新提交",
            "as much waits as may wait and nothing was taken; post again later",
        ));
    }
    let write = || -> io::Result<(String, u64)> {
        let name = Inbox::fresh_name(endpoint.keeping.clock.as_ref(), endpoint.keeping.chance.as_ref())?;
        let mut writer = endpoint.inbox.write(&name)?;
        for record in &records {
            writer.add(record.get().as_bytes())?;
        }
        let rows = writer.rows();
        writer.finish("")?;
        Ok((name, rows))
    };
    write().map_err(|error| failed(&error))
}

/// One object, or an array of objects.
fn records(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    let wrong = |zh: String, en: String| Refusal::new(StatusCode::BAD_REQUEST, "not_records", zh, en);
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let whole: &RawValue = serde_json::from_slice(body)
        .map_err(|error| wrong(format!("不是 JSON：{error}"), format!("not JSON: {error}")))?;
    let records: Vec<&RawValue> = if whole.get().starts_with('[') {
        serde_json::from_str(whole.get())
            .map_err(|error| wrong(format!("不是 JSON 数组：{error}"), format!("not a JSON array: {error}")))?
    } else {
        vec![whole]
    };
    if let Some(at) = records.iter().position(|record| !record.get().starts_with('{')) {
        let at = at + 1;
        return Err(wrong(format!("第 {at} 项不是对象"), format!("item {at} is not an object")));
    }
    if records.is_empty() {
        return Err(wrong("没有任何记录".into(), "there is no record in it".into()));
    }
    Ok(records)
}

async fn tell(State(endpoint): State<Arc<Endpoint>>, Path(id): Path<String>) -> Result<Json<status::Status>, Refusal> {
    let unknown = || {
        let (zh, en) = ("没有这个编号，或已过保存期", "no such id, or it is kept no longer");
        Refusal::new(StatusCode::NOT_FOUND, "id_unknown", zh, en)
    };
    let inbox = endpoint.inbox.clone();
    let waiting = tokio::task::spawn_blocking(move || inbox.waiting()).await;
    let waiting = waiting.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| failed(&error))?;
    if waiting.contains(&id) {
        return Ok(Json(status::Status::waiting(id)));
    }
    let Some(spool) = &endpoint.spool else { return Err(unknown()) };
    let told = spool.worked(&id).await.map_err(|error| failed(&io::Error::other(error)))?;
    told.map(|told| Json(status::Status::of(id, told))).ok_or_else(unknown)
}
