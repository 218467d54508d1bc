//! An answer with its proof checked, as it is shown and saved.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weft_proto::v1::{Answer, Answering, Staleness};
use weft_record::sdjwt::{Limits, Token};

use crate::{
    failure::Failure,
    files,
    keys::Keys,
    report::sheet,
    verify::{Proof, moment},
};

/// With which keys answers are checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Checking {
    /// Public keys of departments, to check seals with: a JWK set or an issuer's metadata; may be repeated
    #[arg(long, value_name = "JWKS")]
    keys: Vec<String>,
    /// Public keys of the hub, to check statements with; may be repeated
    #[arg(long, value_name = "JWKS")]
    hub_keys: Vec<String>,
    /// The hub's console, `http://host:port`, from where missing keys are fetched
    #[arg(long, value_name = "URL", env = "WEFT_CLIENT_CONSOLE")]
    console: Option<String>,
}

/// Keys read from files before anything is asked.
#[derive(Debug)]
pub(crate) struct KeyFiles {
    departments: Option<Keys>,
    hub: Option<Keys>,
}

impl Checking {
    /// All keys from a console.
    #[cfg(feature = "hub")]
    pub(crate) fn of_console(console: String) -> Self {
        Self { keys: Vec::new(), hub_keys: Vec::new(), console: Some(console) }
    }

    /// Reads the files that are named.
    pub(crate) fn files(&self) -> Result<KeyFiles, Failure> {
        let read = |paths: &[String]| (!paths.is_empty()).then(|| Keys::from_files(paths)).transpose();
        Ok(KeyFiles { departments: read(&self.keys)?, hub: read(&self.hub_keys)? })
    }

    /// The keys of an issuer: from files if there are any, else from the console if one is named.
    async fn keys<'k>(
        &self,
        files: Option<&'k Keys>,
        issuer: &str,
        fetched: &'k mut Option<Keys>,
    ) -> Result<Option<&'k Keys>, Failure> {
        match (files, &self.console) {
            (Some(keys), _) => Ok(Some(keys)),
            (None, None) => Ok(None),
            (None, Some(console)) => Ok(Some(fetched.insert(Keys::from_console(console, issuer).await?))),
        }
    }
}

/// An answer, checked.
#[derive(Debug)]
pub(crate) struct Shown {
    answer: Answer,
    proof: Option<Proof>,
    json: Value,
}

impl Shown {
    /// Checks seal and statement with whatever keys there are.
    pub(crate) async fn new(answer: Answer, checking: &Checking, files: &KeyFiles) -> Result<Self, Failure> {
        let proof = if answer.presentation.is_empty() { None } else { Some(prove(&answer, checking, files).await?) };
        let json = json(&answer, proof.as_ref());
        Ok(Self { answer, proof, json })
    }

    /// As JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Whether nothing that was checked failed.
    pub(crate) fn holds(&self) -> bool {
        self.proof.as_ref().is_none_or(Proof::holds)
    }

    /// Whether there is a presentation to be saved.
    pub(crate) fn is_presented(&self) -> bool {
        self.proof.is_some()
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut table = sheet(&self.json);
        for (zh, en) in self.proof.iter().flat_map(Proof::proves) {
            table.push_str(&format!("\n{zh}\n{en}\n"));
        }
        table
    }

    /// Writes presentation and statement; `number` tells several apart.
    pub(crate) fn save(&self, path: &Path, number: Option<usize>) -> Result<(), Failure> {
        let mut name = path.as_os_str().to_owned();
        if let Some(number) = number {
            name.push(format!(".{number}"));
        }
        files::write_private(&PathBuf::from(&name), self.answer.presentation.as_bytes())?;
        name.push(".statement");
        files::write_private(&PathBuf::from(&name), self.answer.statement.as_bytes())
    }
}

async fn prove(answer: &Answer, checking: &Checking, files: &KeyFiles) -> Result<Proof, Failure> {
    let token = Token::parse(&answer.presentation, Limits::default());
    let issuer = token.ok().and_then(|token| token.payload.get("iss").and_then(Value::as_str).map(str::to_owned));
    let issuer = issuer.unwrap_or_default();
    let hub = issuer.split_once("/departments/").map_or(issuer.as_str(), |(hub, _)| hub);
    let (mut fetched, mut fetched_hub) = (None, None);
    let keys = checking.keys(files.departments.as_ref(), &issuer, &mut fetched).await?;
    let hub_keys = checking.keys(files.hub.as_ref(), hub, &mut fetched_hub).await?;
    let statement = (!answer.statement.is_empty()).then_some((answer.statement.as_str(), hub_keys));
    Ok(Proof::examine(&answer.presentation, keys, statement))
}

fn json(answer: &Answer, proof: Option<&Proof>) -> Value {
    let staleness = answer.staleness().map(|reason: Staleness| word(reason.as_str_name(), "STALENESS_"));
    let position = answer.position.as_ref().map(|at| format!("{}/{}@{}", at.topic, at.partition, at.offset));
    let answering: Answering = answer.answering();
    json!({
        "answering": word(answering.as_str_name(), "ANSWERING_"),
        "zh": answer.zh,
        "en": answer.en,
        "status": answer.status,
        "staleness": staleness.collect::<Vec<_>>(),
        "record_id": answer.record_id,
        "version": answer.version,
        "as_of": answer.as_of.as_ref().map(|at| moment(at.seconds)),
        "position": position,
        "holders": proof.map(Proof::holders),
        "fields": proof.map(Proof::fields),
        "seal": proof.map(Proof::seal_json),
        "statement": proof.map(Proof::statement_json),
        "ledger_entry": answer.receipt.as_ref().map(|receipt| receipt.entry_id.clone()),
    })
}

/// A word of the wire as the design writes it: `ANSWERING_NOT_COVERED` is `not_covered`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_design() {
        assert_eq!(word(Answering::NotCovered.as_str_name(), "ANSWERING_"), "not_covered");
        assert_eq!(word(Staleness::HigherBehindGap.as_str_name(), "STALENESS_"), "higher_behind_gap");
    }
}
