//! Declared coverage: what of a record type a department publishes through this adapter. Without a declaration a
//! window is told `not_covered` where there is no record, never `missing`.

use serde::{Deserialize, Serialize};
use weft_record::identifier::{self, Rule, Tolerance};

use crate::{config::Config, mapping::Fault};

/// The coverage of one record type: `[[coverage]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The record type, one that a source of this adapter maps to.
    pub record_type: String,
    /// Records issued on this day (`YYYY-MM-DD`) and later are published. Without it, all that are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The divisions (GB/T 2260, 6, 9 or 12 digits) for which they are. Without any, the whole county.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub divisions: Vec<String>,
    /// Whether everything that the coverage names is published. While it is not, what is absent is not `missing`.
    #[serde(default)]
    pub backfill_finished: bool,
}

/// All that is wrong with the declarations.
pub fn faults(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for (index, coverage) in config.coverage.iter().enumerate() {
        let mut fault = |key: &str, what: &str| {
            let record_type = coverage.record_type.clone();
            found.push(Fault { record_type, at: format!("coverage.{key}"), what: what.to_owned() });
        };
        let of = &coverage.record_type;
        if !config.sources.iter().any(|source| source.mapping.record_type == *of) {
            fault("record_type", "no source of this adapter maps to it");
        }
        if config.coverage[..index].iter().any(|other| other.record_type == *of) {
            fault("record_type", "stands twice");
        }
        if coverage.since.as_ref().is_some_and(|day| !is_day(day)) {
            fault("since", "a day that exists, as YYYY-MM-DD");
        }
        let known =
            |code: &String| identifier::check_with(Rule::Division, code, Tolerance::TEST).verdict.is_acceptable();
        if !coverage.divisions.iter().all(known) {
            fault("divisions", "codes of 6, 9 or 12 digits");
        }
    }
    found
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(coverage: &str) -> Vec<String> {
        let text = format!(
            "department = \"m\"\nname = \"main\"\nstate_dir = \"s\"\nhub = [\"https://hub.example:7443\"]\n{coverage}\n{}",
            include_str!("../departments/market-regulation.toml")
                .split_once("# ------")
                .unwrap()
                .1
                .split_once('\n')
                .unwrap()
                .1
        );
        let config = Config::parse(&text, Path::new("/")).unwrap();
        faults(&config).into_iter().map(|fault| fault.at).collect()
    }

    #[test]
    fn a_declaration_names_a_mapped_type_once_with_real_days_and_divisions() {
        let right = "[[coverage]]\nrecord_type = \"business-licence\"\nsince = \"2015-01-01\"\n\
                     divisions = [\"370322\", \"370322101\"]\nbackfill_finished = true";
        assert_eq!(told(right), Vec::<String>::new());
        let twice = format!("{right}\n[[coverage]]\nrecord_type = \"business-licence\"");
        assert_eq!(told(&twice), ["coverage.record_type"]);
        let wrong = "[[coverage]]\nrecord_type = \"real-estate-title\"\nsince = \"2015-02-29\"\ndivisions = [\"37\"]";
        assert_eq!(told(wrong), ["coverage.record_type", "coverage.since", "coverage.divisions"]);
    }
}
