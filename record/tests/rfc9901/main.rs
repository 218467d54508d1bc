//! RFC 9901 as this crate reads it: its examples, every MUST of sections 7.1 and 7.2, Weft's profile, and what must hold
//! for any record.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod examples;
mod profile;
mod properties;
mod section_7_1;
mod section_7_2;
mod tokens;
