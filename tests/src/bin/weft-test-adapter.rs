//! An adapter process for tests that kill it: `weft-test-adapter CONFIG`. It is the real one.

use std::{error::Error, path::Path, process::ExitCode};

use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Surroundings};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == weft_adapter::SHEET_CHILD) {
        return weft_adapter::sheet_child();
    }
    serve()
}

#[tokio::main]
async fn serve() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("weft-test-adapter: {error}");
            let mut cause = error.source();
            while let Some(next) = cause {
                eprint!(": {next}");
                cause = next.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: weft-test-adapter CONFIG")?;
    let config = Config::load(Path::new(&file))?;
    // Nobody asks it to stop: it is killed.
    weft_adapter::run(config, Surroundings::system(), CancellationToken::new()).await?;
    Ok(())
}
