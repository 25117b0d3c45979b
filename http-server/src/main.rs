//! `sctp-http`: see the library's `command`.

use std::process::ExitCode;

fn main() -> ExitCode {
    http_server::command::main()
}
