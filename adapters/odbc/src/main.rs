//! `weft-odbc`: the adapter's helper that has the driver's libraries. It answers what the adapter asks over standard
//! input and output, and ends when its input does. Everything that it is told comes from the adapter: it has no
//! arguments, no configuration and no files of its own.

mod fetch;
#[path = "../../src/source/odbc/protocol.rs"]
#[allow(unreachable_pub, reason = "the same text is a module of the adapter, where it is public")]
mod protocol;
mod session;
mod text;

use std::{
    io::{self, BufWriter},
    process::ExitCode,
};

use protocol::{Answer, Request, VERSION, receive, send};
use session::{Failure, Session};
use text::Narrow;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-odbc: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One connection, request by request.
fn serve() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut session = None;
    let mut narrow = None;
    while let Some(request) = receive::<Request>(&mut input)? {
        if let Request::Connect { text, .. } = request {
            narrow = Narrow::of(text);
        }
        if let Err(failure) = answer(request, &mut session, &mut output) {
            match failure {
                Failure::Driver { state, said } => {
                    let said = match narrow {
                        Some(narrow) => narrow.message(said),
                        None => said,
                    };
                    send(&mut output, &Answer::Failed { state, said })?;
                }
                Failure::Output(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn answer(request: Request, session: &mut Option<Session>, output: &mut impl io::Write) -> Result<(), Failure> {
    let connected = || Failure::told("connect first");
    match request {
        Request::Connect { version, .. } if version != VERSION => {
            return Err(Failure::told("the adapter is of another version than the helper"));
        }
        Request::Connect { attributes, login_timeout_s, text, .. } => {
            let opened = Session::open(&attributes, login_timeout_s, text)?;
            let (product, quote) = opened.product()?;
            *session = Some(opened);
            send(output, &Answer::Connected { product, quote })?;
        }
        Request::Begin { text } => {
            session.as_ref().ok_or_else(connected)?.begin(text.as_deref())?;
            send(output, &Answer::Ran)?;
        }
        Request::End => {
            session.as_ref().ok_or_else(connected)?.end()?;
            send(output, &Answer::Ran)?;
        }
        Request::Run { text } => {
            session.as_ref().ok_or_else(connected)?.run(&text)?;
            send(output, &Answer::Ran)?;
        }
        Request::Describe { schema, table } => {
            let columns = session.as_ref().ok_or_else(connected)?.describe(schema.as_deref(), &table)?;
            send(output, &Answer::Described(columns))?;
        }
        Request::Offer { schema } => {
            let tables = session.as_ref().ok_or_else(connected)?.offer(schema.as_deref())?;
            send(output, &Answer::Offered(tables))?;
        }
        Request::Rows { text, binds, limit, timeout_s } => {
            let limit = limit.unwrap_or(u64::MAX);
            let mut each = |rows| send(output, &Answer::Rows(rows)).map_err(Failure::from);
            session.as_ref().ok_or_else(connected)?.rows(&text, &binds, (limit, timeout_s), &mut each)?;
            send(output, &Answer::End)?;
        }
    }
    Ok(())
}
