//! What happens to the paths of an association, for `-v` and `--json`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sctp_udp::{Association, Notification, PathId, PathInfo, PathState};
use serde_json::{Value, json};

use super::report::Report;

/// Reports what happens to the paths of an association as long as it lasts.
#[derive(Clone)]
pub(super) struct Paths {
    association: Association,
    failovers: Arc<AtomicU64>,
}

impl Paths {
    pub(super) fn watch(association: &Association, report: &Arc<Report>) -> Self {
        let watching = Self {
            association: association.clone(),
            failovers: Arc::default(),
        };
        report.watch(&watching);
        let mut notifications = association.notifications();
        let (association, report) = (association.clone(), report.clone());
        let failovers = watching.failovers.clone();
        tokio::spawn(async move {
            while let Some(notification) = notifications.next().await {
                let Some((id, what)) = path_event(&notification) else {
                    continue;
                };
                let paths = association.paths();
                let path = paths.iter().find(|path| path.id == id);
                let failed = matches!(what, "potentially failed" | "inactive");
                if failed && path.is_some_and(|path| path.is_primary) {
                    failovers.fetch_add(1, Ordering::Relaxed);
                }
                report.path(id, what, path);
            }
        });
        watching
    }

    /// The paths as they stand.
    pub(super) fn snapshot(&self) -> Vec<PathInfo> {
        self.association.paths()
    }

    /// How often the primary path has failed.
    pub(super) fn failovers(&self) -> u64 {
        self.failovers.load(Ordering::Relaxed)
    }
}

/// Which path a notification is about, and what it says of it.
pub(crate) fn path_event(notification: &Notification) -> Option<(PathId, &'static str)> {
    match notification {
        Notification::PathChanged { path, state } => Some((*path, state_name(*state))),
        Notification::PathAdded(path) => Some((*path, "added")),
        Notification::PathRemoved(path) => Some((*path, "removed")),
        Notification::PrimaryChanged(path) => Some((*path, "primary")),
        _ => None,
    }
}

pub(super) fn state_name(state: PathState) -> &'static str {
    match state {
        PathState::Unconfirmed => "unconfirmed",
        PathState::Active => "active",
        PathState::PotentiallyFailed => "potentially failed",
        PathState::Inactive => "inactive",
        _ => "unknown",
    }
}

/// A path for people: `10.0.0.1 - 10.0.0.2:9899`.
pub(crate) fn ends(path: &PathInfo) -> String {
    match path.local_ip {
        Some(local) => format!("{local} - {}", path.remote),
        None => path.remote.to_string(),
    }
}

/// A path for programs.
pub(super) fn object(path: &PathInfo) -> Value {
    json!({
        "id": path.id.index(),
        "local": path.local_ip,
        "remote": path.remote,
        "state": state_name(path.state),
        "primary": path.is_primary,
        "srtt_ms": path.stats.srtt.as_micros() as f64 / 1000.0,
        "rto_ms": path.stats.rto.as_micros() as f64 / 1000.0,
        "cwnd": path.stats.cwnd,
        "errors": path.stats.errors,
        "heartbeats_sent": path.stats.heartbeats_sent,
        "heartbeats_acked": path.stats.heartbeats_acked,
        "t3_expiries": path.stats.t3_expiries,
    })
}
