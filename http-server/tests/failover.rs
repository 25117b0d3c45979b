//! A download over two links between two network namespaces, of which one dies: the smaller form of
//! scripts/failover. Needs root on Linux, and skips itself elsewhere.
#![cfg(target_os = "linux")]

use std::{
    error::Error,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of the download.
const SIZE: usize = 40_000_000;
/// Something happens when so many have come.
const CHANGE_AT: u64 = 4_000_000;
/// Longest pause, milliseconds. That of the measurement is half a second, on a quiet machine.
const PAUSE: f64 = 3000.0;

/// Two hosts, "c" and "s", with the links "link-a" (10.91.0.0/24) and "link-b" (10.91.1.0/24) between them.
struct Network {
    client: String,
    server: String,
}

impl Network {
    /// `None` where there cannot be namespaces.
    fn new(name: &str) -> Option<Self> {
        let name = |side: &str| format!("sctp-{name}-{}-{side}", std::process::id());
        let network = Self {
            client: name("c"),
            server: name("s"),
        };
        let hosts = [&network.client, &network.server];
        for host in hosts {
            ip(&["netns", "add", host]).ok()?;
            ip(&["-n", host, "link", "set", "lo", "up"]).ok()?;
        }
        for (number, link) in ["link-a", "link-b"].iter().enumerate() {
            let add = ["-n", hosts[0], "link", "add", "name", link, "type", "veth"];
            ip(&[&add[..], &["peer", "name", link, "netns", hosts[1]]].concat()).ok()?;
            for (end, host) in hosts.iter().enumerate() {
                let address = format!("10.91.{number}.{}/24", end + 1);
                ip(&["-n", host, "address", "add", &address, "dev", link]).ok()?;
                ip(&["-n", host, "link", "set", link, "up"]).ok()?;
            }
        }
        Some(network)
    }

    /// Nothing passes "link-a" any more, and nobody is told: each side sends to a card that the
    /// other is not.
    fn cut(&self) {
        for (host, other) in [(&self.client, "10.91.0.2"), (&self.server, "10.91.0.1")] {
            let neighbour = ["-n", host, "neighbour", "replace", other, "dev", "link-a"];
            let card = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"];
            ip(&[&neighbour[..], &card].concat()).unwrap();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [&self.client, &self.server] {
            let _ = ip(&["netns", "delete", host]);
        }
    }
}

fn ip(words: &[&str]) -> Result<(), Box<dyn Error>> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into())
}

/// The program, in a namespace; its output is read.
struct Program(Child);

impl Program {
    fn start(host: &str, words: &[&str]) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host, env!("CARGO_BIN_EXE_sctp-http")]);
        Self(command.args(words).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        output.lines().map(Result::unwrap)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_server(network: &Network, root: &Path) -> Program {
    let root = root.to_str().unwrap();
    let words = ["serve", "--listen", "0.0.0.0:9899/sctp", "--root", root];
    let mut server = Program::start(
        &network.server,
        &[&words[..], &["--access-log", "none"]].concat(),
    );
    let first = server.lines().next();
    assert_eq!(first.as_deref(), Some("listening on 0.0.0.0:9899/sctp"));
    server
}

/// Downloads a file in a network where something happens after `CHANGE_AT` bytes; it comes whole,
/// without a long pause. The line that says so, or `None` where there cannot be namespaces.
fn download(name: &str, change: impl FnOnce(&Network)) -> Option<Value> {
    let network = Network::new(name)?;
    let folder = std::env::temp_dir().join(format!("sctp-{name}-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("root")).unwrap();
    let body: Vec<u8> = (0..SIZE).map(|at| (at * 7 / 3) as u8).collect();
    std::fs::write(folder.join("root/file"), &body).unwrap();
    std::fs::write(folder.join("list"), "/file\n").unwrap();
    let list = folder.join("list");

    let _server = start_server(&network, &folder.join("root"));
    let words = ["get", "--json", "--connect", "10.91.0.2:9899", "--requests"];
    let words = [&words[..], &[list.to_str().unwrap()]].concat();
    let mut client = Program::start(&network.client, &words);
    let (mut last, mut pause, mut change) = (0.0, 0.0_f64, Some(change));
    let mut done = None;
    for line in client.lines() {
        let line: Value = serde_json::from_str(&line).unwrap();
        let at = line["at_ms"].as_f64().or_else(|| line["last_ms"].as_f64());
        let bytes = line["bytes_so_far"].as_u64();
        let bytes = bytes.or_else(|| line["bytes"].as_u64());
        if let (Some(at), Some(bytes)) = (at, bytes) {
            if change.is_none() {
                pause = pause.max(at - last);
            }
            last = at;
            if bytes > CHANGE_AT
                && let Some(change) = change.take()
            {
                change(&network);
            }
        }
        if !line["sha256"].is_null() {
            done = Some(line);
        }
    }
    let status = client.0.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(status.success(), "{status}");
    assert!(change.is_none(), "it happened in mid-download");
    let done = done.expect("the file");
    assert_eq!(done["bytes"], SIZE);
    let sum = Sha256::digest(&body);
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(done["sha256"], sum);
    assert!(pause < PAUSE, "{pause} ms");
    Some(done)
}

/// The addresses at one end of the paths that there are when all is done.
fn ends(done: &Value, end: &str) -> Vec<String> {
    let paths = done["paths"].as_array().expect("several paths").iter();
    paths
        .map(|path| path[end].as_str().unwrap().to_owned())
        .collect()
}

fn skipped() {
    eprintln!("skipped: network namespaces need root here");
}

#[test]
fn a_download_goes_on_when_one_of_two_links_dies() {
    let Some(done) = download("dies", Network::cut) else {
        return skipped();
    };
    let remotes = ends(&done, "remote");
    assert!(remotes.contains(&"10.91.1.2:9899".to_owned()), "{done}");
}

#[test]
fn a_download_goes_on_when_the_client_loses_an_address() {
    let lose = |network: &Network| {
        let client = ["-n", &network.client, "address", "delete"];
        ip(&[&client[..], &["10.91.0.1/24", "dev", "link-a"]].concat()).unwrap();
    };
    let Some(done) = download("loses", lose) else {
        return skipped();
    };
    let events = done["path_events"].as_array().expect("events").iter();
    assert!(
        events.clone().any(|event| event["event"] == "removed"),
        "{done}"
    );
    assert!(
        ends(&done, "local").iter().all(|ip| ip == "10.91.1.1"),
        "{done}"
    );
}
