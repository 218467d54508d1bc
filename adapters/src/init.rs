//! `weft adapter init`: from a sample of a source to a configuration, commented, with a confidence per field.
//!
//! Content speaks first – check digits, dates, values of code tables and closed lists – then the database's comments,
//! then headings, in Chinese, English, and both dialects of GB/T 36903. What neither decides is left out and said:
//! a wrong field in a record is worse than one that somebody has to add.
//!
//! - `sample`: a file becomes a table: headings, comments, rows
//! - `profile`: what the cells of a column look like
//! - `words`: what headings say
//! - `class`: what kind of content a field has, and how well a column has it
//! - `assign`: which column is which field, and which cannot be told apart
//! - `status`: the columns that say status and event, and that order versions
//! - `value`: a column read as a field
//! - `draft`, `propose`: the whole for one record type, and the likeliest record type
//! - `write`: the proposal as `adapter.toml`

mod assign;
mod class;
mod draft;
mod profile;
mod propose;
mod sample;
mod status;
mod value;
mod words;
mod write;

pub use assign::Twins;
pub use propose::{Choice, Proposal, Wish, propose};
pub use sample::{Column, Error, Table, read};
pub use write::{Settings, SourceText, write};

#[cfg(test)]
mod tests;
