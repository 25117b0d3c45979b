//! `sctp-http get`: fetches URLs, one per stream.

mod connection;
mod failure;
mod lane;
mod links;
mod output;
pub(crate) mod paths;
mod report;
pub(crate) mod response;
mod transfer;
mod url;

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use sctp_udp::{AssociationConfig, Capture};

use connection::{Connection, Finished, Route};
use failure::{Failure, FailureKind, USAGE};
use output::Output;
use report::Report;
use transfer::{Settings, is_error};
use url::Url;

use crate::listen::Transport;

/// A reader that is slow, a pager say, is no reason to fail here: the streams are all the user's.
const STALL_TIMEOUT: Duration = Duration::from_secs(3600);

/// The options of `get`, as its help describes them.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) urls: Vec<String>,
    pub(crate) outputs: Vec<PathBuf>,
    pub(crate) remote_names: bool,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) page: Option<String>,
    pub(crate) head: bool,
    pub(crate) headers: Vec<String>,
    pub(crate) fail: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
    pub(crate) requests: Option<PathBuf>,
    pub(crate) connect: Vec<SocketAddr>,
    /// Addresses of this side; all if none is given.
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) sctp_port: u16,
    /// What connections are made with; the ports are filled in.
    pub(crate) association: AssociationConfig,
    /// Where what passes the sockets is written.
    pub(crate) capture: Option<Capture>,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
}

/// One URL to fetch. `index` is its place in the order given.
#[derive(Debug, Clone)]
struct Job {
    index: usize,
    url: Url,
    output: Output,
}

/// The jobs of one server.
struct Group {
    /// Fetched alone, before the others.
    document: Option<Job>,
    jobs: Vec<Job>,
}

/// Fetches; returns the exit status that `get --help` describes.
pub(crate) async fn run(options: Options) -> ExitCode {
    let report = Arc::new(Report::new(options.json, options.verbose, options.quiet));
    let list = match read_list(&options) {
        Ok(list) => list,
        Err(text) => {
            report.error(&text);
            return FailureKind::Local.exit_status().into();
        }
    };
    let planned = plan(&options, list.as_deref()).and_then(|groups| {
        let association = route(&options, 0).association;
        association.validate().map_err(|error| error.to_string())?;
        Ok((groups, settings(&options)?))
    });
    let (groups, settings) = match planned {
        Ok(planned) => planned,
        Err(text) => {
            report.error(&text);
            return USAGE.into();
        }
    };
    let options = Arc::new(options);
    let mut fetching = tokio::task::JoinSet::new();
    for group in groups {
        fetching.spawn(fetch(
            group,
            settings.clone(),
            options.clone(),
            report.clone(),
        ));
    }
    let mut finished: Vec<Finished> = fetching.join_all().await.into_iter().flatten().collect();
    finished.sort_by_key(|(job, _)| job.index);
    conclude(&finished, &options, &report)
}

/// Prints what is printed at the end; the exit status is of the first failure.
fn conclude(finished: &[Finished], options: &Options, report: &Report) -> ExitCode {
    let mut first = None;
    let mut written = Ok(());
    for (job, result) in finished {
        let failure = match result {
            Ok(done) if is_error(done.status) => Some(Failure {
                kind: FailureKind::Status,
                text: format!("the server answered {}", done.status),
                lost: false,
            }),
            Ok(_) => None,
            Err(failure) => Some(failure.clone()),
        };
        if let Some(failure) = failure {
            let text = format!("{}: {}", job.url, failure.text);
            match first {
                None => report.failed(&text),
                // The lines of a connection that failed would all be the same.
                Some(FailureKind::Connect) if failure.kind == FailureKind::Connect => {}
                Some(_) => report.error(&text),
            }
            first = first.or(Some(failure.kind));
        }
        if let (Output::Memory, Ok(done)) = (&job.output, result)
            && let Some(body) = &done.kept
            && options.page.is_none()
        {
            written = written.and_then(|()| io::stdout().write_all(body));
        }
    }
    if options.page.is_some() && !options.json {
        written = written.and_then(|()| io::stdout().write_all(table(finished, report).as_bytes()));
    }
    if let Err(error) = written.and_then(|()| io::stdout().flush()) {
        report.error(&format!("cannot write standard output: {error}"));
        first = first.or(Some(FailureKind::Local));
    }
    first.map_or(ExitCode::SUCCESS, |kind| kind.exit_status().into())
}

/// What came over which stream.
fn table(finished: &[Finished], report: &Report) -> String {
    let mut text = String::from("stream  status       bytes  first ms   last ms  object\n");
    let mut streams = HashSet::new();
    let (mut bytes, mut last, mut whole) = (0, 0.0_f64, 0);
    for (job, result) in finished {
        let Ok(done) = result else { continue };
        let stream = done
            .stream
            .map_or_else(|| "tcp".to_owned(), |id| id.to_string());
        text += &format!(
            "{stream:>6}  {:>6}  {:>10}  {:>8.2}  {:>8.2}  {}\n",
            done.status.as_u16(),
            done.bytes,
            report.ms(done.first),
            report.ms(done.last),
            job.url.target
        );
        streams.extend(done.stream);
        bytes += done.bytes;
        last = last.max(report.ms(done.last));
        whole += 1;
    }
    let over = match streams.len() {
        0 => "over TCP".to_owned(),
        1 => "over 1 stream of an SCTP association".to_owned(),
        count => format!("over {count} streams of one SCTP association"),
    };
    text + &format!(
        "{whole} of {} objects, {bytes} bytes, {over}, in {last:.2} ms\n",
        finished.len()
    )
}

/// Fetches the jobs of one server, on one connection after another if need be.
async fn fetch(
    group: Group,
    settings: Settings,
    options: Arc<Options>,
    report: Arc<Report>,
) -> Vec<Finished> {
    let route = route(&options, group.jobs.len());
    let mut session = Session {
        settings,
        options,
        route,
        report,
        connection: None,
    };
    let mut jobs = group.jobs;
    let mut finished = Vec::new();
    if let Some(document) = group.document {
        let page = document.url.clone();
        finished = session.run(vec![document]).await;
        match finished.first() {
            Some((_, Ok(done))) if session.options.page.is_some() => {
                let html = done.kept.clone().unwrap_or_default();
                jobs = page_jobs(&page, &html, |url| mirror(url, &session.options));
                for job in jobs.iter().filter(|job| job.output == Output::Nowhere) {
                    if let Some(path) = mirror(&job.url, &session.options) {
                        let (url, path) = (&job.url, path.display());
                        let text = format!("{url}: not written, {path} is of another URL");
                        session.report.error(&text);
                    }
                }
            }
            Some((_, Ok(_))) => {}
            _ => jobs.clear(),
        }
    }
    if !jobs.is_empty() {
        finished.append(&mut session.run(jobs).await);
    }
    if let Some(connection) = session.connection {
        connection.close(&session.report).await;
    }
    finished
}

struct Session {
    settings: Settings,
    options: Arc<Options>,
    route: Route,
    report: Arc<Report>,
    connection: Option<Connection>,
}

impl Session {
    /// Runs the jobs. Those that were lost before a byte of an answer came are safe to repeat,
    /// since all are GET or HEAD: they go out again on another connection.
    async fn run(&mut self, mut jobs: Vec<Job>) -> Vec<Finished> {
        let mut finished = Vec::new();
        let mut retries = self.options.retries;
        while let Some(first) = jobs.first() {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                None => match Connection::open(&first.url, &self.route, &self.report).await {
                    Ok(connection) => self.connection.insert(connection),
                    Err(failure) => {
                        finished.extend(jobs.into_iter().map(|job| (job, Err(failure.clone()))));
                        return finished;
                    }
                },
            };
            let asked = jobs.len();
            let results = connection.run(jobs, &self.settings, &self.report).await;
            let is_lost = |result: &Result<_, Failure>| result.as_ref().is_err_and(|f| f.lost);
            let (lost, mut ended): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|(_, result)| is_lost(result));
            finished.append(&mut ended);
            // A server may close after each answer: only a connection that gave none counts.
            if lost.len() == asked {
                if retries == 0 {
                    finished.extend(lost);
                    return finished;
                }
                retries -= 1;
            }
            jobs = lost.into_iter().map(|(job, _)| job).collect();
            if !jobs.is_empty()
                && let Some(connection) = self.connection.take()
            {
                connection.close(&self.report).await;
            }
        }
        finished
    }
}

fn route(options: &Options, jobs: usize) -> Route {
    let mut association = options.association.clone();
    association
        .remote_port(options.sctp_port)
        .stall_timeout(STALL_TIMEOUT);
    // One stream per URL, and one for the document.
    let streams = u16::try_from(jobs + 1).unwrap_or(u16::MAX);
    if streams > 1024 {
        association
            .outbound_streams(streams)
            .max_inbound_streams(streams);
    }
    Route {
        connect: options.connect.clone(),
        bind: options.bind.clone(),
        association: Arc::new(association),
        capture: options.capture.clone(),
        timeout: options.connect_timeout,
    }
}

fn settings(options: &Options) -> Result<Settings, String> {
    let mut fields = String::new();
    let (mut agent, mut host) = (true, true);
    for field in &options.headers {
        let wrong = || format!("`{field}` is not a header field; write `Name: value`");
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        let value = value.to_str().map_err(|_| wrong())?;
        agent &= name != http::header::USER_AGENT;
        host &= name != http::header::HOST;
        fields += &format!("{name}: {value}\r\n");
    }
    if agent {
        fields += concat!("user-agent: sctp-http/", env!("CARGO_PKG_VERSION"), "\r\n");
    }
    Ok(Settings {
        head: options.head,
        host,
        fields,
        fail: options.fail,
        timeout: options.timeout,
        digest: options.json,
    })
}

/// What to fetch from whom; `list` has the paths, where there is one.
fn plan(options: &Options, list: Option<&str>) -> Result<Vec<Group>, String> {
    if let Some(page) = &options.page {
        let url = Url::parse(page)?;
        let output = match mirror(&url, options) {
            Some(path) => Output::FileAndMemory(path),
            None => Output::Memory,
        };
        let document = Some(Job {
            index: 0,
            url,
            output,
        });
        return Ok(vec![Group {
            document,
            jobs: Vec::new(),
        }]);
    }
    if wants_list(options) {
        let list = list.ok_or("no URL given; give one, or paths by --requests")?;
        let base = match (&options.urls[..], options.connect.first()) {
            ([], Some(address)) => Url::parse(&format!("http+sctp://{address}/"))?,
            ([url], _) => Url::parse(url)?,
            ([], None) => return Err("a list of paths needs --connect or a URL".to_owned()),
            _ => return Err("a list of paths goes with one URL at most".to_owned()),
        };
        let paths = list.lines().map(str::trim).filter(|path| !path.is_empty());
        let mut jobs = paths
            .enumerate()
            .map(|(index, path)| {
                if !path.starts_with('/') {
                    return Err(format!("`{path}` is not a path: it begins with /"));
                }
                let url = base
                    .join(path)
                    .ok_or_else(|| format!("`{path}` is not a path"))?;
                let output = if options.json {
                    Output::Nowhere
                } else {
                    Output::Memory
                };
                Ok(Job { index, url, output })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if jobs.is_empty() {
            return Err("the list of paths is empty".to_owned());
        }
        let document = Some(jobs.remove(0));
        return Ok(vec![Group { document, jobs }]);
    }
    url_groups(options)
}

fn url_groups(options: &Options) -> Result<Vec<Group>, String> {
    let mut groups: Vec<((Transport, String), Group)> = Vec::new();
    let mut files = HashSet::new();
    if options.outputs.len() > options.urls.len() {
        return Err("there are more -o than URLs".to_owned());
    }
    for (index, text) in options.urls.iter().enumerate() {
        let url = Url::parse(text)?;
        let key = (url.transport, url.authority.to_string());
        let output = if let Some(path) = options.outputs.get(index) {
            Output::File(path.clone())
        } else if options.remote_names {
            let name = url.file_name();
            let name = name.ok_or_else(|| format!("{url} has no file name; use -o FILE"))?;
            Output::File(
                options
                    .folder
                    .as_deref()
                    .unwrap_or(Path::new(""))
                    .join(name),
            )
        } else if options.json {
            Output::Nowhere
        } else if options.urls.len() > 1 || options.head {
            // Printed in order at the end: pieces of several bodies must not mix.
            Output::Memory
        } else {
            Output::Stdout
        };
        if let Output::File(path) = &output
            && !files.insert(path.clone())
            && !is_device(path)
        {
            let path = path.display();
            return Err(format!("{path} is named for two URLs; use -o for each"));
        }
        let job = Job { index, url, output };
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.jobs.push(job),
            None => groups.push((
                key,
                Group {
                    document: None,
                    jobs: vec![job],
                },
            )),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

/// Something like /dev/null, to which any number of bodies may go.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file())
}

/// The objects of a page, each once, after the page itself. Of those that would be the same file,
/// because they differ in their query only, the first is written.
fn page_jobs(page: &Url, html: &[u8], file: impl Fn(&Url) -> Option<PathBuf>) -> Vec<Job> {
    let mut seen = HashSet::from([page.target.clone()]);
    let mut files: HashSet<_> = file(page).into_iter().collect();
    links::links(&String::from_utf8_lossy(html))
        .iter()
        .filter_map(|link| page.join(link))
        .filter(|url| seen.insert(url.target.clone()))
        .enumerate()
        .map(|(index, url)| {
            let file = file(&url).filter(|file| files.insert(file.clone()));
            let output = file.map_or(Output::Nowhere, Output::File);
            Job {
                index: index + 1,
                url,
                output,
            }
        })
        .collect()
}

/// Where an object of a page is written, if it is.
fn mirror(url: &Url, options: &Options) -> Option<PathBuf> {
    if options.folder.is_none() && !options.remote_names {
        return None;
    }
    Some(
        options
            .folder
            .as_deref()
            .unwrap_or(Path::new(""))
            .join(url.mirror_path()?),
    )
}

/// Whether paths are read from a list.
fn wants_list(options: &Options) -> bool {
    options.page.is_none() && (options.requests.is_some() || options.urls.is_empty())
}

/// The list of paths, where one is wanted and there.
fn read_list(options: &Options) -> Result<Option<String>, String> {
    if !wants_list(options) {
        return Ok(None);
    }
    let path = options.requests.as_deref();
    let path = path.filter(|path| *path != Path::new("-"));
    let result = match path {
        Some(path) => std::fs::read_to_string(path),
        None if io::stdin().is_terminal() => return Ok(None),
        None => io::read_to_string(io::stdin()),
    };
    result.map(Some).map_err(|error| {
        let name = path.map_or_else(|| "standard input".to_owned(), |p| p.display().to_string());
        format!("cannot read the list of paths from {name}: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_objects_of_a_page_are_written_to_one_file() {
        let page = Url::parse("http://host/").unwrap();
        let html = b"<img src=a?1><img src=a?2><img src=index.html><img src=b>";
        let jobs = page_jobs(&page, html, Url::mirror_path);
        let jobs: Vec<_> = jobs
            .iter()
            .map(|job| (&job.url.target[..], &job.output))
            .collect();
        let file = |name: &str| Output::File(name.into());
        assert_eq!(
            jobs,
            [
                ("/a?1", &file("a")),
                ("/a?2", &Output::Nowhere),
                ("/index.html", &Output::Nowhere),
                ("/b", &file("b")),
            ]
        );
    }
}
