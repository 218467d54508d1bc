//! `weft verify`: what a presentation proves, offline.

use serde_json::{Map, Value, json};
use weft_record::{
    sdjwt::{Limits, Token},
    statement,
    verify::verify_presentation,
};

use crate::{
    failure::Failure,
    files,
    keys::Keys,
    report::{Code, Report, sheet},
};

/// No presentation or statement is larger.
const MAX_BYTES: u64 = 256 * 1024;

/// `weft verify`
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The presentation, as `weft query … --save` or the window wrote it; `-` is standard input
    file: String,
    /// Public keys of the department that sealed it: a JWK set, or the issuer's metadata; may be repeated
    #[arg(long, required = true, value_name = "JWKS")]
    keys: Vec<String>,
    /// The hub's statement of the same answer
    #[arg(long, value_name = "FILE", requires = "hub_keys")]
    statement: Option<String>,
    /// Public keys of the hub: a JWK set, or the hub's metadata; may be repeated
    #[arg(long, value_name = "JWKS", requires = "statement")]
    hub_keys: Vec<String>,
}

impl VerifyArgs {
    pub(crate) fn run(self) -> Result<Report, Failure> {
        let presentation = files::read_text(&self.file, MAX_BYTES)?;
        let statement = self.statement.as_deref().map(|path| files::read_text(path, MAX_BYTES)).transpose()?;
        let keys = Keys::from_files(&self.keys)?;
        let hub_keys = Keys::from_files(&self.hub_keys)?;
        let statement = statement.as_ref().map(|text| (text.as_str(), Some(&hub_keys)));
        Ok(Proof::examine(&presentation, Some(&keys), statement).report())
    }
}

/// How one half of the proof stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is good.
    Verified,
    /// It is not; the problems say why.
    Failed,
    /// It is there, and no keys to check it with were given.
    NotChecked,
    /// It is not there.
    Absent,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::NotChecked => "not_checked",
            Self::Absent => "absent",
        }
    }
}

/// What a presentation and a statement prove together.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) seal: Standing,
    pub(crate) statement: Standing,
    seal_facts: Value,
    statement_facts: Value,
    payload: Map<String, Value>,
}

impl Proof {
    /// Checks the seal under `keys` and the statement under its keys. Without keys nothing is said of that half.
    pub(crate) fn examine(presentation: &str, keys: Option<&Keys>, statement: Option<(&str, Option<&Keys>)>) -> Self {
        let mut proof = Self {
            seal: Standing::NotChecked,
            statement: Standing::Absent,
            seal_facts: json!({}),
            statement_facts: json!({}),
            payload: Map::new(),
        };
        match keys {
            Some(keys) => proof.check_seal(presentation, keys),
            None => {
                let token = Token::parse(presentation, Limits::default());
                proof.payload = token.and_then(|token| token.process()).unwrap_or_default();
            }
        }
        if let Some((statement, keys)) = statement {
            proof.check_statement(presentation, statement, keys);
        }
        proof
    }

    fn check_seal(&mut self, presentation: &str, keys: &Keys) {
        let token = Token::parse(presentation, Limits::default());
        let issuer = token.ok().and_then(|token| token.payload.get("iss").and_then(Value::as_str).map(str::to_owned));
        match verify_presentation(presentation.as_bytes(), &keys.of(&issuer.unwrap_or_default())) {
            Ok(verified) => {
                self.seal = Standing::Verified;
                self.seal_facts = json!({
                    "issuer": verified.issuer,
                    "kid": verified.kid,
                    "vct": verified.payload.get("vct"),
                    "sealed_at": verified.payload.get("iat").and_then(Value::as_i64).map(moment),
                });
                self.payload = verified.payload;
            }
            Err(rejection) => {
                self.seal = Standing::Failed;
                let problems = rejection.problems.iter().map(|problem| {
                    json!({"pointer": problem.pointer, "reason": problem.reason, "zh": problem.zh, "en": problem.en})
                });
                self.seal_facts = json!({"problems": problems.collect::<Vec<_>>()});
            }
        }
    }

    fn check_statement(&mut self, presentation: &str, text: &str, keys: Option<&Keys>) {
        let Some(keys) = keys else {
            self.statement = Standing::NotChecked;
            return;
        };
        // Which hub's keys: that of the seal. A seal that failed has told nothing, so nothing can be stated of it.
        let issuer = self.payload.get("iss").and_then(Value::as_str).unwrap_or_default();
        let hub = issuer.split_once("/departments/").map_or(issuer, |(hub, _)| hub);
        let checked = statement::verify(text, &keys.of(hub))
            .and_then(|statement| statement.check_presentation(presentation, &self.payload).map(|()| statement));
        match checked {
            Ok(statement) => {
                let (topic, partition, offset) = &statement.position;
                self.statement = Standing::Verified;
                self.statement_facts = json!({
                    "hub": statement.iss,
                    "stated_at": moment(statement.iat),
                    "version": statement.version,
                    "status": statement.status,
                    "as_of": statement.as_of.map(moment),
                    "position": format!("{topic}/{partition}@{offset}"),
                    "ledger_entry": statement.ledger_entry,
                });
            }
            Err(error) => {
                self.statement = Standing::Failed;
                self.statement_facts = json!({"problems": [{"zh": error.zh(), "en": error.en()}]});
            }
        }
    }

    /// Whether nothing that was checked failed.
    pub(crate) fn holds(&self) -> bool {
        self.seal != Standing::Failed && self.statement != Standing::Failed
    }

    /// The fields that are disclosed.
    pub(crate) fn fields(&self) -> Value {
        self.payload.get("fields").cloned().unwrap_or_else(|| json!({}))
    }

    /// The holders that are disclosed.
    pub(crate) fn holders(&self) -> Value {
        self.payload.get("holders").cloned().unwrap_or_else(|| json!([]))
    }

    /// The seal's part.
    pub(crate) fn seal_json(&self) -> Value {
        with_state(self.seal, &self.seal_facts)
    }

    /// The statement's part.
    pub(crate) fn statement_json(&self) -> Value {
        with_state(self.statement, &self.statement_facts)
    }

    /// What is proven, and what is not.
    pub(crate) fn proves(&self) -> Vec<(&'static str, &'static str)> {
        let seal = match self.seal {
            Standing::Verified => (
                "签章有效：该部门签发过此内容，未被改动",
                "the seal verifies: the department sealed this content, and nothing was changed",
            ),
            Standing::Failed => ("签章无效：内容不可信", "the seal does not verify: do not trust the content"),
            Standing::NotChecked | Standing::Absent => {
                ("未核验签章：没有提供部门公钥", "the seal was not checked: no keys of the department were given")
            }
        };
        let statement = match self.statement {
            Standing::Verified => (
                "现势声明有效：枢纽声明在所示时刻和位点该版本为最新",
                "the statement verifies: the hub says that this version was the highest at the time and position shown",
            ),
            Standing::Failed => (
                "现势声明无效：不能证明该版本当时为最新",
                "the statement does not verify: it proves nothing about whether the version was current",
            ),
            Standing::NotChecked => {
                ("未核验现势声明：没有提供枢纽公钥", "the statement was not checked: no keys of the hub were given")
            }
            Standing::Absent => (
                "没有现势声明：不能说明该版本是否仍为最新",
                "there is no statement: nothing is said about whether the version is still current",
            ),
        };
        vec![seal, statement]
    }

    fn json(&self) -> Value {
        let proves: Vec<Value> = self.proves().iter().map(|(zh, en)| json!({"zh": zh, "en": en})).collect();
        json!({
            "verified": self.holds(),
            "seal": self.seal_json(),
            "statement": self.statement_json(),
            "record": self.payload.get("record"),
            "event": self.payload.get("event"),
            "holders": self.holders(),
            "fields": self.fields(),
            "proves": proves,
        })
    }

    /// The whole, for printing.
    pub(crate) fn report(&self) -> Report {
        let json = self.json();
        let mut shown = json.clone();
        if let Some(members) = shown.as_object_mut() {
            members.remove("proves");
        }
        let mut table = sheet(&shown);
        for (zh, en) in self.proves() {
            table.push_str(&format!("\n{zh}\n{en}\n"));
        }
        let code = if self.holds() { Code::Done } else { Code::Problems };
        Report::both(table, json).with_code(code)
    }
}

fn with_state(standing: Standing, facts: &Value) -> Value {
    let mut part = json!({"state": standing.as_str()});
    if let (Some(part), Some(facts)) = (part.as_object_mut(), facts.as_object()) {
        part.extend(facts.clone());
    }
    part
}

/// Seconds since 1970 as RFC 3339, UTC.
pub(crate) fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests;
