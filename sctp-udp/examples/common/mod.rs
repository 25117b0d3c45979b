//! Options that all examples share.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use sctp_udp::{AssociationConfig, CongestionControl};

/// Options of an association. Durations are written as 200ms, 1.5s or 2m.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Association")]
pub(crate) struct AssociationArgs {
    /// RTO.Initial
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rto_initial: Option<Duration>,
    /// RTO.Min
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rto_min: Option<Duration>,
    /// RTO.Max
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rto_max: Option<Duration>,
    /// Association.Max.Retrans
    #[arg(long, value_name = "COUNT")]
    association_max_retrans: Option<u32>,
    /// Path.Max.Retrans
    #[arg(long, value_name = "COUNT")]
    path_max_retrans: Option<u32>,
    /// Max.Init.Retransmits
    #[arg(long, value_name = "COUNT")]
    max_init_retransmits: Option<u32>,
    /// HB.interval; 0s sends no HEARTBEAT
    #[arg(long, value_name = "TIME", value_parser = duration)]
    heartbeat_interval: Option<Duration>,
    /// SACK.Delay, at most 500ms
    #[arg(long, value_name = "TIME", value_parser = duration)]
    sack_delay: Option<Duration>,
    /// Send small messages at once instead of bundling them [default: true]
    #[arg(long, value_name = "BOOL")]
    nodelay: Option<bool>,
    /// Offer I-DATA, so that messages interleave [default: true]
    #[arg(long, value_name = "BOOL")]
    interleaving: Option<bool>,
    /// MTU of the path, bytes of IP packet, which is then not found out [default: 1280, and what the
    /// path is found to carry]
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    /// Receive window, bytes [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    receive_window: Option<u32>,
    /// Send buffer, bytes [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    send_buffer: Option<usize>,
    /// Congestion controller: rfc9260 or cubic [default: rfc9260]
    #[arg(long, value_name = "NAME", value_parser = congestion)]
    congestion: Option<CongestionControl>,
    /// Initial congestion window, packets, 1 to 10 [default: by RFC 9260]
    #[arg(long, value_name = "COUNT")]
    initial_window: Option<u32>,
}

impl AssociationArgs {
    /// The configuration, checked; `change` adds what only one example sets.
    pub(crate) fn config(
        &self,
        change: impl FnOnce(&mut AssociationConfig),
    ) -> Result<Arc<AssociationConfig>, sctp_udp::ConfigError> {
        let mut config = AssociationConfig::default();
        if let Some(rto) = self.rto_initial {
            config.rto_initial(rto);
        }
        if let Some(rto) = self.rto_min {
            config.rto_min(rto);
        }
        if let Some(rto) = self.rto_max {
            config.rto_max(rto);
        }
        if let Some(count) = self.association_max_retrans {
            config.association_max_retrans(count);
        }
        if let Some(count) = self.path_max_retrans {
            config.path_max_retrans(count);
        }
        if let Some(count) = self.max_init_retransmits {
            config.max_init_retransmits(count);
        }
        if let Some(interval) = self.heartbeat_interval {
            config.heartbeat_interval((!interval.is_zero()).then_some(interval));
        }
        if let Some(delay) = self.sack_delay {
            config.sack_delay(delay);
        }
        if let Some(on) = self.nodelay {
            config.nodelay(on);
        }
        if let Some(on) = self.interleaving {
            config.interleaving(on);
        }
        if let Some(bytes) = self.mtu {
            config.path_mtu(bytes).plpmtud(false);
        }
        if let Some(bytes) = self.receive_window {
            config.receive_window(bytes);
        }
        if let Some(bytes) = self.send_buffer {
            config.send_buffer(bytes).stream_send_buffer(bytes / 4);
        }
        if let Some(kind) = self.congestion {
            config.congestion_control(kind);
        }
        if self.initial_window.is_some() {
            config.initial_window(self.initial_window);
        }
        change(&mut config);
        config.validate()?;
        Ok(Arc::new(config))
    }
}

/// Reads 200ms, 1.5s, 2m.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("write a number and a unit: us, ms, s or m".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

fn congestion(name: &str) -> Result<CongestionControl, String> {
    match name {
        "rfc9260" => Ok(CongestionControl::Rfc9260),
        "cubic" => Ok(CongestionControl::Cubic),
        "bbr" => Ok(CongestionControl::Bbr),
        _ => Err("choose rfc9260, cubic or bbr".into()),
    }
}

/// The address to bind for talking to `peer`, unless one is given: any of the same family.
#[allow(dead_code, reason = "servers do not connect")]
pub(crate) fn local_for(peer: SocketAddr, given: Option<SocketAddr>) -> SocketAddr {
    given.unwrap_or_else(|| match peer {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
    })
}
