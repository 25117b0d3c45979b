use std::fs;

use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sctp-http-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("site/sub")).unwrap();
        fs::create_dir_all(path.join("site/list me")).unwrap();
        fs::write(path.join("secret.txt"), "secret").unwrap();
        fs::write(path.join("site/hello.txt"), "hello, world").unwrap();
        fs::write(path.join("site/.hidden"), "hidden").unwrap();
        fs::write(path.join("site/sub/index.html"), "<p>index").unwrap();
        fs::write(path.join("site/list me/a&b#.txt"), "").unwrap();
        fs::write(path.join("site/big"), vec![7; 300_000]).unwrap();
        Self(path)
    }

    fn files(&self) -> Files {
        Files::new(self.0.join("site")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn ask(
    files: &Files,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> (u16, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = files
        .clone()
        .oneshot(request.body(()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    (
        parts.status.as_u16(),
        parts.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

#[tokio::test]
async fn a_file_with_its_head() {
    let folder = Folder::new("file");
    let files = folder.files();
    let (status, headers, body) = ask(&files, "GET", "/hello.txt", &[]).await;
    assert_eq!((status, &body[..]), (200, &b"hello, world"[..]));
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["content-length"], "12");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert!(headers.contains_key("last-modified"));

    let (status, head, body) = ask(&files, "HEAD", "/hello.txt", &[]).await;
    assert_eq!(
        (status, body.len(), &head["content-length"]),
        (200, 0, &headers["content-length"])
    );

    let etag = headers["etag"].to_str().unwrap();
    let (status, again, _) = ask(&files, "GET", "/hello.txt", &[("if-none-match", etag)]).await;
    assert_eq!(status, 304);
    assert_eq!(again["etag"], headers["etag"]);

    let (status, part, body) = ask(&files, "GET", "/hello.txt", &[("range", "bytes=-5")]).await;
    assert_eq!((status, &body[..]), (206, &b"world"[..]));
    assert_eq!(part["content-range"], "bytes 7-11/12");
    let (status, part, _) = ask(&files, "GET", "/hello.txt", &[("range", "bytes=50-")]).await;
    assert_eq!(
        (status, part["content-range"].as_bytes()),
        (416, &b"bytes */12"[..])
    );
}

#[tokio::test]
async fn a_file_of_many_pieces() {
    let folder = Folder::new("pieces");
    let (_, headers, body) = ask(&folder.files(), "GET", "/big", &[]).await;
    assert_eq!(body, vec![7; 300_000]);
    assert_eq!(headers["content-type"], "application/octet-stream");
    let range = [("range", "bytes=100000-299999")];
    let (_, _, body) = ask(&folder.files(), "GET", "/big", &range).await;
    assert_eq!(body.len(), 200_000);
}

#[tokio::test]
async fn folders() {
    let folder = Folder::new("folders");
    let files = folder.files();
    let (status, headers, _) = ask(&files, "GET", "/sub?x=1", &[]).await;
    assert_eq!(
        (status, headers["location"].as_bytes()),
        (301, &b"/sub/"[..])
    );
    let (status, headers, _) = ask(&files, "GET", "//sub", &[]).await;
    assert_eq!(
        (status, headers["location"].as_bytes()),
        (301, &b"/sub/"[..])
    );
    let (_, headers, body) = ask(&files, "GET", "/sub/", &[]).await;
    assert_eq!(&body[..], b"<p>index");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");

    let (status, _, body) = ask(&files, "GET", "/list%20me/", &[]).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200);
    assert!(
        text.contains("href=\"./a&amp;b%23.txt\">a&amp;b#.txt</a>"),
        "{text}"
    );
    let (_, _, body) = ask(&files, "GET", "/", &[]).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("hello.txt") && !text.contains("hidden"));

    let (status, _, _) = ask(&files.listing(false), "GET", "/list%20me/", &[]).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_file_from_before_1970() {
    let folder = Folder::new("old");
    let path = folder.0.join("site/list me/old");
    fs::write(&path, "content").unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let time = UNIX_EPOCH.checked_sub(day);
    if time.is_none_or(|time| file.set_modified(time).is_err()) {
        eprintln!("skipped: this system has no such times");
        return;
    }
    let files = folder.files();
    for fields in [&[][..], &[("range", "bytes=0-"), ("if-range", "\"x\"")]] {
        let (status, headers, body) = ask(&files, "GET", "/list%20me/old", fields).await;
        assert_eq!((status, &body[..]), (200, &b"content"[..]), "{fields:?}");
        assert!(!headers.contains_key("last-modified"));
    }
    let (status, _, list) = ask(&files, "GET", "/list%20me/", &[]).await;
    assert_eq!(status, 200);
    assert!(list.windows(8).any(|found| found == b"\"./old\">"));
}

/// RFC 9110 §8.8.2.1 forbids to say that it is.
#[tokio::test]
async fn a_file_that_is_said_to_be_from_the_future() {
    let folder = Folder::new("future");
    let file = fs::File::options()
        .write(true)
        .open(folder.0.join("site/hello.txt"))
        .unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let day = std::time::Duration::from_secs(86_400);
    file.set_modified(written + 365 * day).unwrap();
    let (_, headers, _) = ask(&folder.files(), "GET", "/hello.txt", &[]).await;
    let told = headers["last-modified"].to_str().unwrap();
    assert!(
        httpdate::parse_http_date(told).unwrap() < written + day,
        "{told}"
    );
}

#[tokio::test]
async fn what_is_not_served() {
    let folder = Folder::new("outside");
    let files = folder.files();
    for path in [
        "/nothing",
        "/hello.txt/",
        "/.hidden",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/..%2f..%2fsecret.txt",
    ] {
        let (status, _, body) = ask(&files, "GET", path, &[]).await;
        assert_eq!(
            (status, &body[..]),
            (404, &b"404 Not Found\n"[..]),
            "{path}"
        );
    }
    let (status, headers, _) = ask(&files, "POST", "/hello.txt", &[]).await;
    assert_eq!(
        (status, headers["allow"].as_bytes()),
        (405, &b"GET, HEAD, OPTIONS"[..])
    );
}

#[cfg(unix)]
#[tokio::test]
async fn links_only_inside() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("links");
    let site = folder.0.join("site");
    symlink("../secret.txt", site.join("out.txt")).unwrap();
    symlink("hello.txt", site.join("in.txt")).unwrap();
    symlink("..", site.join("up")).unwrap();
    let files = folder.files();
    assert_eq!(ask(&files, "GET", "/in.txt", &[]).await.0, 200);
    assert_eq!(ask(&files, "GET", "/out.txt", &[]).await.0, 404);
    assert_eq!(ask(&files, "GET", "/up/secret.txt", &[]).await.0, 404);
    let (_, _, body) = ask(&files, "GET", "/", &[]).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("in.txt") && !text.contains("out.txt"));
}

#[tokio::test]
async fn a_file_that_shrinks_is_an_error() {
    let folder = Folder::new("shrink");
    let path = folder.0.join("site/big");
    let body = FileBody::start(File::open(&path).unwrap(), 300_001).unwrap();
    assert!(body.collect().await.is_err());
}
