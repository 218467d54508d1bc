//! What waits in inboxes, for those who ask how far the adapter is behind: nobody has read it into the spool yet.

use std::{fs, io, path::PathBuf};

use jiff::{civil::DateTime, tz::TimeZone};

use super::{NAMED, WAITING};
use crate::{
    config::{Config, Kind},
    source::keeping,
};

/// The inbox of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) record_type: String,
    pub(crate) folder: PathBuf,
}

/// What waits in one inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) units: u64,
    /// When the oldest came, milliseconds since 1970.
    pub(crate) oldest_ms: Option<i64>,
}

/// The inboxes of a configuration's sources.
pub(crate) fn places(config: &Config) -> Vec<Place> {
    let has_inbox = |kind| matches!(kind, Ok(Kind::Rest(_) | Kind::Push(_)));
    let place = |source: &crate::config::SourceConfig| Place {
        record_type: source.mapping.record_type.clone(),
        folder: keeping::folder(&config.state_dir, &source.name),
    };
    config.sources.iter().filter(|source| has_inbox(source.kind())).map(place).collect()
}

impl Place {
    /// What waits there now.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn count(&self) -> io::Result<Count> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            // Nothing ever came.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Count::default()),
            Err(error) => return Err(error),
        };
        let mut count = Count::default();
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(WAITING)) else { continue };
            count.units += 1;
            count.oldest_ms = count.oldest_ms.into_iter().chain(came_ms(name)).min();
        }
        Ok(count)
    }
}

/// When a unit came, by its name.
fn came_ms(name: &str) -> Option<i64> {
    let (at, _) = name.split_once('-')?;
    let at = DateTime::strptime(NAMED, at).ok()?;
    Some(TimeZone::UTC.to_timestamp(at).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_count_from_the_time_in_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { record_type: "t".into(), folder: folder.path().join("inbox") };
        assert_eq!(place.count().unwrap(), Count::default());
        fs::create_dir(&place.folder).unwrap();
        for name in ["20261030T010203456Z-00.rows", "20261030T010203007Z-ff.rows", "20250101T000000000Z-11.tmp"] {
            fs::write(place.folder.join(name), b"").unwrap();
        }
        let oldest: jiff::Timestamp = "2026-10-30T01:02:03.007Z".parse().unwrap();
        assert_eq!(place.count().unwrap(), Count { units: 2, oldest_ms: Some(oldest.as_millisecond()) });
    }
}
