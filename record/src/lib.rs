//! What a record is. Pure: no I/O, no async, no clock of its own.
//!
//! | module | what it knows |
//! |---|---|
//! | [`problem`] | what is wrong with a submission: stable reasons, texts in Chinese and English |
//! | [`status`] | events, statuses and the table of steps between them |
//! | [`identifier`] | numbers of people, organisations, assets and papers: grammar and check characters |
//! | [`json`] | strict JSON: what two readers could read differently is refused |
//! | [`keys`] | the public keys of departments: what is a sound one, what verifies, what became of it |
//! | [`sdjwt`] | SD-JWT (RFC 9901) taken apart and processed; the profile that a record adds |
//! | [`seal`](mod@seal) | a department's content becomes a sealed record |
//! | [`present`](mod@present) | a sealed record cut down to what was granted |
//! | [`catalogue`] | record types, code tables, dialects: loaded from `schemas/`, compiled once, checked against |
//! | [`record_id`] | the name of a record, for ever |
//! | [`digest`] | keyed digests of content, over RFC 8785 |
//! | [`rules`] | the closed set of rules that a record type can add to its schema |
//! | [`verify`](mod@verify) | the door: whether a submission may go into the log |
//! | [`statement`] | the hub's word that a version was the highest, checked offline |

pub mod catalogue;
pub mod digest;
pub mod identifier;
pub mod json;
pub mod keys;
pub mod present;
pub mod problem;
pub mod record_id;
pub mod rules;
pub mod sdjwt;
pub mod seal;
pub mod statement;
pub mod status;
pub mod verify;
