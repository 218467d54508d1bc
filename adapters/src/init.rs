//! `weft adapter init`: from a sample of a source to a configuration, commented, with a confidence per field.
//!
//! Content speaks first – check digits, dates, values of code tables and closed lists – then the database's comments,
//! then headings, in Chinese, English, and both dialects of GB/T 36903. What neither decides is left out and said:
//! a wrong field in a record is worse than one that somebody has to add.
//!
//! - `sample`: a table: headings, comments, rows
//! - `file`, `json`, `database`, `interface`: what is pointed at becomes samples; `address`: how it is pointed at
//! - `profile`: what the cells of a column look like
//! - `words`: what headings say
//! - `class`: what kind of content a field has, and how well a column has it
//! - `assign`: which column is which field, and which cannot be told apart
//! - `holders`: the columns with the numbers of whom a record is about: people or organisations
//! - `status`: the columns that say status and event, and that order versions
//! - `value`: a column read as a field
//! - `draft`, `score`, `propose`: the whole for one record type, how likely it is, and the likeliest
//! - `watermark`: the column that grows with every change
//! - `write`, `place`: the proposal as `adapter.toml`

mod address;
mod assign;
mod class;
mod database;
mod draft;
mod file;
mod holders;
mod interface;
mod json;
mod place;
mod profile;
mod propose;
mod sample;
mod score;
mod status;
mod value;
mod watermark;
mod words;
mod write;

pub use address::{Address, Options};
pub use assign::{Twins, Why};
pub use file::{is_sqlite, read};
pub use place::{FilePlace, Place};
pub use propose::{Choice, Proposal, Wish, propose};
pub use sample::{Column, Error, Sample, Table};
pub use write::{Settings, SourceText, write};

#[cfg(test)]
mod tests;
