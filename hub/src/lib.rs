//! The hub of Weft.

pub mod admitted;
pub mod apply;
pub mod body;
pub mod catalogue_service;
pub mod clock;
pub mod config;
pub mod console;
pub mod decode;
pub mod envelope;
pub mod fleet;
pub mod follow;
pub mod hub;
pub mod identity;
pub mod index;
pub mod init;
pub mod keys;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod operator;
pub mod partitions;
pub mod publish;
pub mod query;
pub mod registry;
pub mod server;
pub mod statement;
