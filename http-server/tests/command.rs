//! The program `sctp-http`, both ends, over loopback sockets.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sctp-http");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");

/// A server process on free ports; killed with the test.
struct Server {
    process: Child,
    sctp: String,
    tcp: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(words: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0/sctp",
                "--listen",
                "127.0.0.1:0/tcp",
            ])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut listener = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let address = line
                .trim()
                .strip_prefix("listening on ")
                .expect("a listener");
            address.split('/').next().unwrap().to_owned()
        };
        let (sctp, tcp) = (listener(), listener());
        Self {
            process,
            sctp,
            tcp,
            output,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http+sctp://{}{path}", self.sctp)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(words: &[&str]) -> Output {
    Command::new(PROGRAM)
        .arg("get")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sctp-http-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Names and contents below a folder, in order.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_demo_page_comes_over_as_many_streams_as_it_has_objects() {
    let server = Server::start(&[]);
    let copy = Folder::new("page");
    let output = get(&[
        "--page",
        &server.url("/"),
        "--dir",
        copy.0.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let objects = contents(Path::new(DEMO));
    let table = text(&output.stdout);
    let summary = table.lines().last().unwrap();
    let expected = format!("{0} of {0} objects", objects.len());
    assert!(summary.starts_with(&expected), "{summary}");
    assert!(
        summary.contains(&format!("over {} streams of one SCTP", objects.len())),
        "{summary}"
    );
    assert!(contents(&copy.0) == objects, "the copy is not the original");

    let output = get(&["--page", &format!("http://{}/", server.tcp)]);
    assert!(
        text(&output.stdout)
            .lines()
            .last()
            .unwrap()
            .contains("over TCP")
    );
}

#[test]
fn where_bodies_go() {
    let server = Server::start(&[]);
    let tile = fs::read(Path::new(DEMO).join("tiles/07.svg")).unwrap();
    let style = fs::read(Path::new(DEMO).join("style.css")).unwrap();
    let (first, second) = (server.url("/tiles/07.svg"), server.url("/style.css"));

    assert_eq!(get(&[&first]).stdout, tile);
    assert_eq!(
        get(&[&first, &second]).stdout,
        [&tile[..], &style[..]].concat()
    );
    assert_eq!(
        get(&[&first, &format!("http://{}/style.css", server.tcp)])
            .stdout
            .len(),
        tile.len() + style.len()
    );

    let folder = Folder::new("bodies");
    let (a, b) = (folder.path("a"), folder.path("new/b"));
    assert!(get(&["-o", &a, "-o", &b, &first, &second]).status.success());
    assert_eq!(
        (fs::read(a).unwrap(), fs::read(b).unwrap()),
        (tile.clone(), style.clone())
    );
    let output = get(&["-O", "--dir", folder.0.to_str().unwrap(), &first]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(fs::read(folder.path("07.svg")).unwrap(), tile);

    let output = get(&["-I", &first]);
    assert!(text(&output.stdout).starts_with("HTTP/1.1 200 OK\n"));
    assert!(text(&output.stdout).contains(&format!("content-length: {}\n", tile.len())));
    let output = get(&["-v", &first]);
    assert!(
        text(&output.stderr).contains("(stream 0)") && text(&output.stderr).contains("PPID 63")
    );
}

#[test]
fn exit_statuses() {
    let server = Server::start(&[]);
    let status = |words: &[&str]| get(words).status.code();
    assert_eq!(status(&[&server.url("/")]), Some(0));
    assert_eq!(status(&["-o"]), Some(2));
    assert_eq!(status(&["ftp://127.0.0.1/"]), Some(2));
    assert_eq!(status(&["-O", &server.url("/")]), Some(2));
    assert_eq!(status(&["--mtu", "1", &server.url("/")]), Some(2));
    assert_eq!(status(&["--sctp-port", "0", &server.url("/")]), Some(2));
    assert_eq!(status(&["-o", DEMO, &server.url("/")]), Some(1));
    let no_list = ["--requests", "/nothing/here", &server.url("/")];
    assert_eq!(status(&no_list), Some(1));
    assert_eq!(status(&["--sctp-port", "81", &server.url("/")]), Some(3));
    assert_eq!(status(&["http://127.0.0.1:1/"]), Some(3));
    let output = get(&[&server.url("/nothing")]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(8), &b"404 Not Found\n"[..])
    );
    let output = get(&["--fail", &server.url("/nothing")]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(8), &b""[..])
    );
}

#[test]
fn a_host_of_the_users_own_stands_for_that_of_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
        String::from_utf8(request).unwrap()
    });
    assert!(get(&["-H", "Host: example.org", &url]).status.success());
    let request = asked.join().unwrap();
    let hosts = request.lines().filter(|line| line.starts_with("host:"));
    assert_eq!(hosts.collect::<Vec<_>>(), ["host: example.org"]);
}

#[test]
fn two_bodies_are_not_mixed_in_one_file() {
    let site = Folder::new("mixed");
    for (folder, byte) in [("a", b'a'), ("b", b'b')] {
        fs::create_dir_all(site.0.join(folder)).unwrap();
        fs::write(site.0.join(folder).join("x"), vec![byte; 3_000_000]).unwrap();
    }
    let server = Server::start(&["--root", site.0.to_str().unwrap(), "--access-log", "none"]);
    let (a, b, to) = (server.url("/a/x"), server.url("/b/x"), site.path("x"));
    let ways: [&[&str]; 2] = [
        &["-O", "--dir", &site.path(""), &a, &b],
        &["-o", &to, "-o", &to, &a, &b],
    ];
    for words in ways {
        let output = get(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let error = text(&output.stderr);
        assert!(
            error.contains("x is named for two URLs") && error.lines().count() == 1,
            "{error}"
        );
    }
    assert!(!Path::new(&to).exists());
    fs::write(site.0.join("index.html"), "<img src=a/x?1><img src=a/x?2>").unwrap();
    let output = get(&["--page", &server.url("/"), "--dir", &site.path("page")]);
    let error = text(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(
        error.contains("/a/x?2: not written, ") && error.lines().count() == 1,
        "{error}"
    );
    if cfg!(unix) {
        let words = ["-o", "/dev/null", "-o", "/dev/null", &a, &b];
        assert!(get(&words).status.success());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error_that_is_told() {
    let server = Server::start(&[]);
    let (page, style) = (server.url("/"), server.url("/style.css"));
    let ways: [&[&str]; 6] = [
        &["--print-config"],
        &[&page],
        &[&page, &style],
        &["-I", &page],
        &["--page", &page],
        &["--json", &page],
    ];
    for words in ways {
        let output = Command::new(PROGRAM)
            .arg("get")
            .args(words)
            .stdout(fs::File::create("/dev/full").unwrap())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {error}");
        let told = error.contains("cannot write standard output: No space left");
        assert!(told && error.lines().count() == 1, "{words:?}: {error}");
    }
}

#[test]
fn json_lines_keep_the_contract() {
    let site = Folder::new("json");
    let sizes = [10_000, 5_000, 300_000, 1];
    let mut list = String::new();
    for (id, size) in sizes.iter().enumerate() {
        fs::create_dir_all(site.0.join(id.to_string())).unwrap();
        fs::write(
            site.0.join(format!("{id}/{size}")),
            vec![b'a' + id as u8; *size],
        )
        .unwrap();
        list += &format!("/{id}/{size}\n");
    }
    fs::write(site.0.join("requests"), &list).unwrap();
    let server = Server::start(&["--root", site.0.to_str().unwrap(), "--access-log", "none"]);

    let by_file = get(&[
        "--json",
        "--connect",
        &server.sctp,
        "--requests",
        &site.path("requests"),
    ]);
    check_lines(text(&by_file.stdout), &sizes);
    assert!(by_file.status.success());

    let mut process = Command::new(PROGRAM)
        .args(["get", "--json", "--connect", &server.sctp])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(list.as_bytes())
        .unwrap();
    let by_input = process.wait_with_output().unwrap();
    check_lines(text(&by_input.stdout), &sizes);

    let output = get(&["--json", &server.url("/nothing/here")]);
    assert!(
        text(&output.stdout)
            .lines()
            .any(|line| line.contains("\"error\""))
    );
}

/// The rules of the reader of these lines, as far as they can be seen from here.
fn check_lines(lines: &str, sizes: &[usize]) {
    let mut done = Vec::new();
    let mut document_last = None;
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let ms = |key: &str| {
            value[key]
                .as_f64()
                .unwrap_or_else(|| panic!("no {key}: {line}"))
        };
        if value.get("connected_ms").is_some() {
            continue;
        }
        let path = value["path"].as_str().unwrap().to_owned();
        assert!(!done.contains(&path), "after its object's line: {line}");
        let size: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
        if value.get("bytes_so_far").is_some() {
            assert!(value["bytes_so_far"].as_u64().unwrap() <= size);
            continue;
        }
        assert_eq!(value["bytes"], size);
        assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
        assert!(
            0.0 <= ms("sent_ms") && ms("sent_ms") <= ms("first_ms"),
            "{line}"
        );
        assert!(ms("first_ms") <= ms("last_ms"), "{line}");
        let document = *document_last.get_or_insert_with(|| ms("last_ms"));
        assert!(
            done.is_empty() == path.starts_with("/0/"),
            "the document is not first"
        );
        assert!(done.is_empty() || ms("sent_ms") >= document, "{line}");
        done.push(path);
    }
    assert_eq!(done.len(), sizes.len());
}

#[test]
fn the_access_log_tells_the_stream() {
    let mut server = Server::start(&["--access-log", "combined"]);
    assert!(
        get(&["-H", "User-Agent: me", &server.url("/style.css")])
            .status
            .success()
    );
    let line = loop {
        let mut line = String::new();
        assert_ne!(server.output.read_line(&mut line).unwrap(), 0);
        if line.contains("GET ") {
            break line;
        }
    };
    let size = fs::metadata(Path::new(DEMO).join("style.css"))
        .unwrap()
        .len();
    let expected = format!("\"GET /style.css HTTP/1.1\" 200 {size} \"-\" \"me\" sctp association=");
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains(&expected),
        "{line}"
    );
}

#[test]
fn errors_say_how_to_mend_them() {
    let server = Server::start(&[]);
    let serve = |words: &[&str]| {
        let output = Command::new(PROGRAM)
            .arg("serve")
            .args(words)
            .output()
            .unwrap();
        assert_eq!(text(&output.stderr).trim_end().lines().count(), 1);
        (output.status.code(), text(&output.stderr).to_owned())
    };
    for listener in [
        format!("{}/sctp", server.sctp),
        format!("{}/tcp", server.tcp),
    ] {
        let (code, error) = serve(&["--listen", &listener]);
        assert_eq!(code, Some(1));
        assert!(
            error.contains(&listener) && error.contains("choose another port"),
            "{error}"
        );
    }
    let (code, error) = serve(&["/nonexistent"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("/nonexistent") && error.contains("existing folder"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_server_in_good_order() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start(&[]);
        assert!(get(&[&server.url("/")]).status.success());
        let pid = server.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(server.process.wait().unwrap().code(), Some(0));
    }
}

/// Both ends write down what happens, each into its own files; and what does not fit is left out.
#[test]
fn captures_and_logs_are_written_where_asked_for() {
    let folder = Folder::new("observe");
    let (pcap, logs) = (folder.path("client.pcapng"), folder.path("client-logs"));
    let server_logs = folder.path("server-logs");
    let server = Server::start(&["--qlog", &server_logs]);
    let output = get(&["--pcap", &pcap, "--qlog", &logs, &server.url("/")]);
    assert_eq!(output.status.code(), Some(0));
    let capture = fs::read(&pcap).unwrap();
    assert_eq!(capture[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert!(
        capture.len() > output.stdout.len(),
        "{} bytes",
        capture.len()
    );

    let lines = |folder: &str| {
        let files: Vec<_> = contents(Path::new(folder));
        assert_eq!(files.len(), 1, "one association");
        let text = String::from_utf8(files[0].1.clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    let client = lines(&logs);
    assert_eq!(client[0]["trace"]["vantage_point"]["type"], "client");
    let last = client.last().unwrap();
    assert_eq!(last["name"], "connectivity:association_state_updated");
    assert_eq!(last["data"]["new"], "closed");
    // The server may be about to write how it ended.
    let server = lines(&server_logs);
    assert_eq!(server[0]["trace"]["vantage_point"]["type"], "server");
    assert!(server.len() >= 3);

    let small = folder.path("small.pcapng");
    let output = get(&[
        "--pcap",
        &small,
        "--trace-limit",
        "2000",
        &server_url(&client),
    ]);
    assert!(fs::metadata(&small).unwrap().len() <= 2000);
    assert!(
        text(&output.stderr).contains("--trace-limit"),
        "{}",
        text(&output.stderr)
    );
    let nowhere = folder.path("no/such/folder/x.pcapng");
    let output = get(&["--pcap", &nowhere, "http+sctp://127.0.0.1:1/"]);
    assert_eq!(output.status.code(), Some(1));
}

/// The server that a client's log says it was connected to.
fn server_url(log: &[serde_json::Value]) -> String {
    let remote = &log[0]["trace"]["common_fields"]["remote"];
    format!("http+sctp://{}/", remote.as_str().unwrap())
}

#[test]
fn one_listener_has_several_addresses_and_its_client_several_paths() {
    if std::net::UdpSocket::bind("127.0.0.2:0").is_err() {
        eprintln!("skipped: 127.0.0.2 is not an address of this machine");
        return;
    }
    let mut server = Server::start(&["--listen", "127.0.0.1:0/sctp+127.0.0.2", DEMO]);
    let mut line = String::new();
    server.output.read_line(&mut line).unwrap();
    let port = line.trim().strip_prefix("listening on 127.0.0.1:");
    let port = port.and_then(|rest| rest.strip_suffix("/sctp+127.0.0.2"));
    let port = port.unwrap_or_else(|| panic!("{line}"));
    let [first, second] = ["127.0.0.1", "127.0.0.2"].map(|ip| format!("{ip}:{port}"));
    let fetch = || -> serde_json::Value {
        // In the other order: the second is where the INIT goes.
        let output = get(&[
            "--json",
            "--connect",
            &second,
            "--connect",
            &first,
            "--bind",
            "127.0.0.1",
            "--bind",
            "127.0.0.3",
            "http+sctp://demo/style.css",
        ]);
        assert!(output.status.success(), "{output:?}");
        (text(&output.stdout).lines())
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &serde_json::Value| !line["sha256"].is_null())
            .unwrap()
    };
    let missing = |done: &serde_json::Value| {
        let paths = done["paths"].as_array().unwrap();
        let ends = [
            ("remote", &*first),
            ("remote", &*second),
            ("local", "127.0.0.1"),
            ("local", "127.0.0.3"),
        ];
        ends.into_iter()
            .find(|(end, wanted)| paths.iter().all(|path| path[end] != **wanted))
            .map(|(end, wanted)| format!("{end} {wanted}"))
    };
    // So little may be fetched before the other paths are there.
    let mut done = fetch();
    for _ in 0..10 {
        if missing(&done).is_some() {
            done = fetch();
        }
    }
    assert_eq!(missing(&done), None, "{done}");
    let paths = done["paths"].as_array().unwrap();
    let primary = paths.iter().find(|path| path["primary"] == true).unwrap();
    assert_eq!(primary["remote"], second);
    assert_eq!(done["failovers"], 0);
}

#[test]
fn what_the_options_make_is_printed() {
    let printed = |words: &[&str]| {
        let output = Command::new(PROGRAM).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shipped = printed(&["serve", "--print-config"]);
    assert_eq!(shipped, printed(&["get", "--print-config"]));
    assert!(
        shipped.contains("\nheartbeat_interval: Some(5s)\n"),
        "{shipped}"
    );
    assert!(
        shipped.contains("\npotentially_failed_max_retrans: Some(0)\n"),
        "{shipped}"
    );
    let other = printed(&[
        "get",
        "--print-config",
        "--heartbeat-interval",
        "0",
        "--path-max-retrans",
        "2",
    ]);
    assert!(other.contains("\nheartbeat_interval: None\n"), "{other}");
    assert!(other.contains("\npath_max_retrans: 2\n"), "{other}");
}
