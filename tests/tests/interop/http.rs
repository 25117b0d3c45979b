//! usrsctp's two HTTP clients against our HTTP server.
//!
//! They send `GET URI HTTP/1.0` without a Host, on the only stream they ask for, and end well only
//! if the server shuts the association down gracefully after its answer.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use http_server::{Files, Listen, Server};
use sctp_tests::rng::Rng;
use tokio::io::AsyncReadExt;

use crate::{
    programs,
    relay::Relay,
    usrsctp::{assert_success, free_port, start, within_minutes},
};

/// What the server has: a page, and an object of many messages.
const PAGES: [(&str, usize); 2] = [("page.html", 5_000), ("large.bin", 3_000_000)];

/// A folder of this test's own with the pages in it.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    for (file, size) in PAGES {
        let mut bytes = Rng::new(size as u64).bytes(size);
        // No byte of it is ASCII, which the programs' debug output is.
        bytes.iter_mut().for_each(|byte| *byte |= 0x80);
        fs::write(folder.join(file), bytes).expect("a file");
    }
    folder
}

/// Has the program fetch each page, and compares what it prints.
async fn fetch(program: &str, ip: IpAddr, name: &str) {
    let Some(program) = programs::find(program) else {
        return;
    };
    let folder = folder(name);
    let server = Server::new(Files::new(&folder).expect("the folder"));
    let server = server.listen(Listen::sctp(SocketAddr::new(ip, 0)));
    let server = server.bind().await.expect("a listener");
    let address = server.listeners()[0].address;
    tokio::spawn(server.run_until(std::future::pending()));
    let relay = Relay::to(address).await;
    for (file, _) in PAGES {
        let mut child = start(&program, |command| {
            command.args([&ip.to_string(), "80", "0", &free_port().to_string()]);
            command.args([&relay.addr().port().to_string(), &format!("/{file}")]);
            command.stdout(Stdio::piped());
        });
        let mut stdout = child.stdout.take().expect("a pipe");
        let output = within_minutes(async {
            let mut output = Vec::new();
            stdout.read_to_end(&mut output).await.expect("its output");
            assert_success(child.wait().await);
            output
        })
        .await;
        let expected = fs::read(folder.join(file)).expect("the file");
        // Debug output comes before, after and between the messages.
        let find = |what: &[u8], from: usize| {
            let mut windows = output[from..].windows(what.len());
            let at = windows.position(|window| window == what);
            from + at.unwrap_or_else(|| panic!("{file}: no {}", what.escape_ascii()))
        };
        let begin = find(b"HTTP/1.0 200 ", 0);
        let end = find(b"\r\n\r\n", begin);
        let body: Vec<u8> = output[end..]
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii())
            .collect();
        assert!(body == expected, "{file}: other bytes than the file has");
    }
    relay.judge(name);
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_client_gets_its_pages() {
    fetch(
        "http_client",
        Ipv4Addr::LOCALHOST.into(),
        "usrsctp-http_client",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_client_gets_its_pages_over_ipv6() {
    fetch(
        "http_client",
        Ipv6Addr::LOCALHOST.into(),
        "usrsctp-http_client-6",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_client_upcall_gets_its_pages() {
    let name = "usrsctp-http_client_upcall";
    fetch("http_client_upcall", Ipv4Addr::LOCALHOST.into(), name).await;
}
