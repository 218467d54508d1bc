//! What a JSON Schema may say to be taken, and its compilation.
//!
//! Schemas can be registered at run time, so one may be hostile. Only listed keywords are taken, a `$ref` must resolve
//! inside the catalogue and may not lead back to itself, and the work that one payload can cause is bounded before
//! anything is compiled. Patterns are compiled by an engine that runs in linear time: look-around and back-references
//! do not compile.

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, Validator};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const MAX_BYTES: usize = 256 * 1024;
const MAX_DEPTH: usize = 32;
const MAX_SCHEMAS: usize = 5_000;
/// Schemas that one payload can be held against, every `$ref` followed.
const MAX_EXPANDED: u64 = 20_000;
const MAX_BRANCHES: usize = 64;
const MAX_LIST: usize = 5_000;
const MAX_PATTERN_CHARS: usize = 1_000;
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// Why a JSON Schema is not taken. Pointers are into the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The text is too long.
    #[error("the schema has {bytes} bytes, more than {MAX_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The text is no JSON, or nested beyond what is read.
    #[error("the schema is not read as JSON: {0}")]
    Json(String),
    /// A schema is neither an object nor true or false.
    #[error("at {pointer}: a schema is an object, true or false")]
    NotASchema {
        /// Where.
        pointer: String,
    },
    /// `$schema` is not JSON Schema 2020-12.
    #[error("$schema is not {DIALECT}")]
    Dialect,
    /// `$id` is missing or not the one that is asked for.
    #[error("$id is not {expected}")]
    Id {
        /// The one that is asked for.
        expected: String,
    },
    /// A keyword that is not taken.
    #[error("at {pointer}: the keyword {keyword} is not taken")]
    Keyword {
        /// Where.
        pointer: String,
        /// Which.
        keyword: String,
    },
    /// A `$ref` that does not resolve inside the catalogue.
    #[error("at {pointer}: $ref resolves to nothing in the catalogue; nothing is fetched")]
    Reference {
        /// Where.
        pointer: String,
    },
    /// A `$ref` that leads back to itself.
    #[error("at {pointer}: $ref leads back to itself")]
    Loop {
        /// Where.
        pointer: String,
    },
    /// More than a limit allows.
    #[error("at {pointer}: more {what} than {limit}")]
    TooMuch {
        /// Where.
        pointer: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A field whose schema asks for nothing.
    #[error("at {pointer}: the schema accepts everything; give it a type")]
    AcceptsEverything {
        /// Where.
        pointer: String,
    },
    /// The outer form of a record type's schema is not there.
    #[error("the schema lacks {0}")]
    Lacks(&'static str),
    /// The compiler's own refusal, such as of a pattern with look-around.
    #[error("the schema does not compile: {0}")]
    Compile(String),
}

/// What may stand in a schema, by what stands under it.
const PLAIN: &[&str] = &[
    "$comment",
    "title",
    "description",
    "examples",
    "default",
    "type",
    "uniqueItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minProperties",
    "maxProperties",
    "const",
    "required",
    "dependentRequired",
];
const ONE_SCHEMA: &[&str] =
    &["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"];
const LIST_OF_SCHEMAS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const MAP_OF_SCHEMAS: &[&str] = &["properties", "$defs"];

/// The schemas that others can refer to, by `$id`.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents(BTreeMap<String, Arc<Value>>);

impl Documents {
    /// Takes a schema that others can refer to. Its own references must resolve in itself or in those already taken.
    pub(super) fn add(&mut self, text: &str) -> Result<(), SchemaError> {
        let schema = self.read(text)?;
        let id = schema.get("$id").and_then(Value::as_str).filter(|id| is_ours(id));
        let id = id.ok_or_else(|| SchemaError::Id { expected: "weft:…".to_owned() })?.to_owned();
        self.compile(&schema)?;
        self.0.insert(id, Arc::new(schema));
        Ok(())
    }

    /// Parses a schema and holds it against every limit.
    pub(super) fn read(&self, text: &str) -> Result<Value, SchemaError> {
        if text.len() > MAX_BYTES {
            return Err(SchemaError::TooLarge { bytes: text.len() });
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        if schema.get("$schema").and_then(Value::as_str) != Some(DIALECT) {
            return Err(SchemaError::Dialect);
        }
        Guard { documents: self, root: &schema, schemas: 0 }.schema(&schema, "", 0)?;
        let expanded = Expansion { documents: self, known: HashMap::new() }.of(&schema, &schema, "")?;
        if expanded > MAX_EXPANDED {
            return Err(too_much("", "schemas after following every $ref", MAX_EXPANDED as usize));
        }
        Ok(schema)
    }

    /// Compiles a schema that [`Documents::read`] gave.
    pub(super) fn compile(&self, schema: &Value) -> Result<Validator, SchemaError> {
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_retriever(InsideOnly(self.clone()))
            .should_validate_formats(true)
            .with_pattern_options(
                PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .build(schema)
            .map_err(|error| SchemaError::Compile(error.to_string()))
    }

    /// What a `$ref` in document `root` means: the document that it leads to, and the schema in it.
    fn resolve<'a>(&'a self, root: &'a Value, reference: &str) -> Option<(&'a Value, &'a Value)> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if document.is_empty() { root } else { self.0.get(document)?.as_ref() };
        Some((document, document.pointer(fragment)?))
    }

    /// The schema with every `$ref` replaced by what it means and every annotation left out, to compare and to word.
    pub(super) fn inline(&self, root: &Value, schema: &Value) -> Value {
        let Value::Object(keywords) = schema else { return schema.clone() };
        let mut inlined = Map::new();
        let referred = keywords.get("$ref").and_then(Value::as_str);
        if let Some((document, target)) = referred.and_then(|reference| self.resolve(root, reference))
            && let Value::Object(target) = self.inline(document, target)
        {
            inlined = target;
        }
        for (keyword, value) in keywords {
            let value = match keyword.as_str() {
                "$ref" | "$defs" | "$comment" | "title" | "description" | "examples" | "default" => continue,
                name if ONE_SCHEMA.contains(&name) => self.inline(root, value),
                name if LIST_OF_SCHEMAS.contains(&name) => {
                    value.as_array().into_iter().flatten().map(|schema| self.inline(root, schema)).collect()
                }
                "properties" => {
                    let properties = value.as_object().into_iter().flatten();
                    properties.map(|(name, schema)| (name.clone(), self.inline(root, schema))).collect()
                }
                _ => value.clone(),
            };
            match inlined.remove(keyword) {
                Some(other) if other != value => {
                    // Both hold: keep the two side by side.
                    inlined.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
                    if let Some(Value::Array(both)) = inlined.get_mut("allOf") {
                        both.push(Value::Object(Map::from_iter([(keyword.clone(), other)])));
                    }
                    inlined.insert(keyword.clone(), value);
                }
                _ => {
                    inlined.insert(keyword.clone(), value);
                }
            }
        }
        Value::Object(inlined)
    }
}

fn is_ours(id: &str) -> bool {
    id.strip_prefix("weft:").is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-".contains(&byte))
    })
}

fn too_much(pointer: &str, what: &'static str, limit: usize) -> SchemaError {
    SchemaError::TooMuch { pointer: pointer.to_owned(), what, limit: limit as u64 }
}

/// Gives the catalogue's own documents and nothing else.
struct InsideOnly(Documents);

impl Retrieve for InsideOnly {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        match self.0.0.get(uri.as_str()) {
            Some(document) => Ok(document.as_ref().clone()),
            None => Err("not in the catalogue".into()),
        }
    }
}

/// Walks a schema once, keyword by keyword.
struct Guard<'a> {
    documents: &'a Documents,
    root: &'a Value,
    schemas: usize,
}

impl Guard<'_> {
    fn schema(&mut self, schema: &Value, pointer: &str, depth: usize) -> Result<(), SchemaError> {
        self.schemas += 1;
        if self.schemas > MAX_SCHEMAS {
            return Err(too_much(pointer, "schemas", MAX_SCHEMAS));
        }
        if depth > MAX_DEPTH {
            return Err(too_much(pointer, "levels", MAX_DEPTH));
        }
        let keywords = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(keywords) => keywords,
            _ => return Err(SchemaError::NotASchema { pointer: pointer.to_owned() }),
        };
        keywords.iter().try_for_each(|(keyword, value)| {
            let here = crate::problem::pointer_to(pointer, keyword);
            self.keyword(keyword, value, &here, depth)
        })
    }

    fn keyword(&mut self, keyword: &str, value: &Value, here: &str, depth: usize) -> Result<(), SchemaError> {
        match (keyword, value) {
            ("$schema" | "$id", _) if depth == 0 => Ok(()),
            ("$ref", Value::String(reference)) => {
                let found = self.documents.resolve(self.root, reference);
                found.map(drop).ok_or_else(|| SchemaError::Reference { pointer: here.to_owned() })
            }
            ("pattern", Value::String(pattern)) if pattern.chars().count() > MAX_PATTERN_CHARS => {
                Err(too_much(here, "characters in a pattern", MAX_PATTERN_CHARS))
            }
            ("pattern", Value::String(_)) => Ok(()),
            ("enum", Value::Array(values)) if values.len() > MAX_LIST => Err(too_much(here, "values", MAX_LIST)),
            ("enum", Value::Array(_)) => Ok(()),
            ("format", Value::String(format)) if format == "date" => Ok(()),
            (name, _) if PLAIN.contains(&name) => Ok(()),
            (name, _) if ONE_SCHEMA.contains(&name) => self.schema(value, here, depth + 1),
            (name, Value::Array(schemas)) if LIST_OF_SCHEMAS.contains(&name) => {
                if schemas.len() > MAX_BRANCHES {
                    return Err(too_much(here, "branches", MAX_BRANCHES));
                }
                schemas
                    .iter()
                    .enumerate()
                    .try_for_each(|(place, schema)| self.schema(schema, &format!("{here}/{place}"), depth + 1))
            }
            (name, Value::Object(schemas)) if MAP_OF_SCHEMAS.contains(&name) => schemas
                .iter()
                .try_for_each(|(key, schema)| self.schema(schema, &crate::problem::pointer_to(here, key), depth + 1)),
            _ => Err(SchemaError::Keyword { pointer: here.to_owned(), keyword: keyword.to_owned() }),
        }
    }
}

/// Counts the schemas that a payload can be held against. Keyed by where a schema lies in memory, which is fixed
/// while the documents are borrowed; `None` marks one that is being counted.
struct Expansion<'a> {
    documents: &'a Documents,
    known: HashMap<*const Value, Option<u64>>,
}

impl<'a> Expansion<'a> {
    fn of(&mut self, root: &'a Value, schema: &'a Value, pointer: &str) -> Result<u64, SchemaError> {
        let Value::Object(keywords) = schema else { return Ok(1) };
        let key = std::ptr::from_ref(schema);
        match self.known.get(&key) {
            Some(Some(count)) => return Ok(*count),
            Some(None) => return Err(SchemaError::Loop { pointer: pointer.to_owned() }),
            None => self.known.insert(key, None),
        };
        let mut total: u64 = 1;
        for (keyword, value) in keywords {
            let here = crate::problem::pointer_to(pointer, keyword);
            let name = keyword.as_str();
            if let (true, Value::String(reference)) = (name == "$ref", value) {
                if let Some((document, target)) = self.documents.resolve(root, reference) {
                    total = total.saturating_add(self.of(document, target, &here)?);
                }
            } else if ONE_SCHEMA.contains(&name) {
                total = total.saturating_add(self.of(root, value, &here)?);
            } else if LIST_OF_SCHEMAS.contains(&name) {
                for schema in value.as_array().into_iter().flatten() {
                    total = total.saturating_add(self.of(root, schema, &here)?);
                }
            } else if name == "properties" {
                for schema in value.as_object().into_iter().flat_map(Map::values) {
                    total = total.saturating_add(self.of(root, schema, &here)?);
                }
            }
        }
        self.known.insert(key, Some(total));
        Ok(total)
    }
}

#[cfg(test)]
mod tests;
