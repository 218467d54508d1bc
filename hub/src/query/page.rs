//! Page tokens (AIP-158): bound to the caller and the question, and made by this hub alone.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use weft_proto::{Reason, Refusal};

use crate::keys::Keys;

const MAC_BYTES: usize = 32;

/// Makes a token: the next page of this question of this caller begins after `after`.
pub fn token(keys: &Keys, caller: &str, question: &str, after: &str) -> String {
    let body = serde_json::json!([caller, question, after]).to_string();
    let mut bytes = keys.page_mac(&[body.as_bytes()]).to_vec();
    bytes.extend_from_slice(body.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the page begins; `None` for the first one.
pub fn after(keys: &Keys, caller: &str, question: &str, token: &str) -> Result<Option<String>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let bad = || Refusal::new(Reason::BadPageToken).field("page_token", "not made by this hub for this question");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let (mac, body) = bytes.split_at_checked(MAC_BYTES).ok_or_else(bad)?;
    aws_lc_rs::constant_time::verify_slices_are_equal(mac, &keys.page_mac(&[body])).map_err(|_| bad())?;
    let (whose, asked, after): (String, String, String) = serde_json::from_slice(body).map_err(|_| bad())?;
    if whose != caller {
        return Err(Refusal::new(Reason::Denied).field("page_token", "belongs to another caller"));
    }
    if asked != question {
        return Err(bad());
    }
    Ok(Some(after))
}

/// How large a page is: `default` for 0, at most `most`; a negative or larger one is refused.
pub fn size(asked: i32, default: u32, most: u32) -> Result<u32, Refusal> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= most => Ok(size),
        _ => Err(Refusal::new(Reason::BadRequest).field("page_size", format!("must be between 0 and {most}"))),
    }
}
