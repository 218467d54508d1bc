//! Reads one workbook on standard input for its parent: what `weft` does when its first argument says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_adapter::sheet_child()
}
