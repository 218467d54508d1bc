//! An interface that serves JSON becomes a sample: its first answer.

use super::{
    json,
    place::Place,
    sample::{Error, Sample},
};
use crate::source::rest::{self, RestConfig};

pub(super) async fn of_rest(config: &RestConfig) -> Result<Vec<Sample>, Error> {
    let bytes = rest::first(config).await?;
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    // The path alone: parameters may hold what is nobody's business.
    let name = config.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let (table, records) = json::read(name, || Ok(bytes))?;
    Ok(vec![Sample { table, place: Place::Rest(Box::new(RestConfig { records, ..config.clone() })) }])
}
