//! `weft`: the one binary of Weft.
//!
//! | module | commands |
//! |---|---|
//! | `hub` | `weft hub`, `weft hub config check` |
//! | `adapter` | `weft adapter init`, `join`, `check`, `run`, `problems` |
//! | `window` | `weft window join`, `renew` |
//! | `query` | `weft query record`, `holder` |
//! | `verify` | `weft verify` |
//! | `admin` | `weft admin …`: what operators do |
//! | `demo` | `weft demo`: a hall at work on this machine |
//! | `doctor` | `weft doctor` |
//!
//! Under them: `args` (the command line), `report` (what is printed, and the exit code), `failure` (why something was not
//! done), `client` (mutual TLS to a hub), `fetch` (keys from a console), `keys` (public keys from files and consoles),
//! `files` (what is read and written), `stop` (signals).

mod adapter;
#[cfg(feature = "hub")]
mod admin;
mod args;
mod client;
#[cfg(feature = "hub")]
mod demo;
mod doctor;
mod failure;
mod fetch;
mod files;
#[cfg(feature = "hub")]
mod hub;
mod keys;
mod query;
mod report;
mod stop;
mod verify;
mod window;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A workbook is read by this program in a process of its own, with its limits set before anything else begins.
    if std::env::args_os().nth(1).is_some_and(|first| first == weft_adapter::SHEET_CHILD) {
        return weft_adapter::sheet_child();
    }
    let cli = args::Cli::parse();
    cli.logging.start(cli.command.is_service());
    let format = cli.output;
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failure::Failure::usage("无法启动运行时", "the runtime cannot start").because(error))
        .and_then(|runtime| runtime.block_on(cli.command.run(format)));
    let code = match ended {
        Ok(report) => report.print(format),
        Err(failure) => failure.print(format),
    };
    ExitCode::from(code as u8)
}
