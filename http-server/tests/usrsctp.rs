//! usrsctp's HTTP clients get a page. Skipped where they are not installed (Debian package
//! `libusrsctp-examples`), or failed where `SCTP_REQUIRE_PEERS` is set.

use std::{
    io::{BufRead, BufReader},
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one of the clients against the demo; what it printed.
fn run(client: &str) -> Option<Vec<u8>> {
    let client = Path::new("/usr/lib/usrsctp").join(client);
    if !client.exists() {
        assert!(
            std::env::var_os("SCTP_REQUIRE_PEERS").is_none(),
            "{client:?} is not installed"
        );
        return None;
    }
    let server = Command::new(env!("CARGO_BIN_EXE_sctp-http"))
        .args(["serve", "--listen", "127.0.0.1:0/sctp"])
        .stdout(Stdio::piped())
        .spawn();
    let mut server = Server(server.unwrap());
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let port = line
        .trim()
        .trim_end_matches("/sctp")
        .rsplit(':')
        .next()
        .unwrap();
    let free = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Waits for a graceful SHUTDOWN; an ABORT would leave it hanging.
    let output = Command::new("timeout")
        .arg("30")
        .arg(client)
        .args([
            "127.0.0.1",
            "80",
            "0",
            &free.to_string(),
            port,
            "/index.html",
        ])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output.stdout)
}

fn check(client: &str) {
    let Some(output) = run(client) else { return };
    let page = include_bytes!("../demo/index.html");
    let found = output.windows(page.len()).any(|window| window == page);
    assert!(found, "{}", String::from_utf8_lossy(&output));
}

#[test]
fn http_client_gets_a_page() {
    check("http_client");
}

#[test]
fn http_client_upcall_gets_a_page() {
    check("http_client_upcall");
}
