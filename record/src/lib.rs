//! What a record is. Pure: no I/O, no async, no clock of its own.
//!
//! | module | what it knows |
//! |---|---|
//! | [`problem`] | what is wrong with a submission: stable reasons, texts in Chinese and English |
//! | [`status`] | events, statuses and the table of steps between them |
//! | [`identifier`] | numbers of people, organisations, assets and papers: grammar and check characters |

pub mod identifier;
pub mod problem;
pub mod status;
