//! Settings that change while an association is up: the read-write options of RFC 6458 §8.1.

use std::sync::Arc;

use super::{Association, state::Phase, timers::Timer};
use crate::{config::AssociationConfig, error::ConfigError, time::Instant};

impl Association {
    /// Changes settings of this association: `change` is given a copy of all, and those that can
    /// change while it is up are taken over if they are valid together. These are
    /// [`rto_initial`](AssociationConfig::rto_initial) for paths to come,
    /// [`rto_min`](AssociationConfig::rto_min) and [`rto_max`](AssociationConfig::rto_max),
    /// [`association_max_retrans`](AssociationConfig::association_max_retrans),
    /// [`sack_delay`](AssociationConfig::sack_delay) and
    /// [`sack_frequency`](AssociationConfig::sack_frequency),
    /// [`max_burst`](AssociationConfig::max_burst), [`nodelay`](AssociationConfig::nodelay),
    /// [`max_segment`](AssociationConfig::max_segment), [`autoclose`](AssociationConfig::autoclose),
    /// [`shutdown_timeout`](AssociationConfig::shutdown_timeout),
    /// [`progress_timeout`](AssociationConfig::progress_timeout) and
    /// [`abort_stalled_peer`](AssociationConfig::abort_stalled_peer). The others keep the values
    /// that the association was set up with; those of a path are for
    /// [`configure_path`](Self::configure_path).
    pub fn update_config(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut AssociationConfig),
    ) -> Result<(), ConfigError> {
        let mut wanted = (*self.cx.config).clone();
        change(&mut wanted);
        wanted.validate()?;
        let idle = wanted.autoclose;
        let restart_autoclose = idle != self.cx.config.autoclose;
        let config = Arc::make_mut(&mut self.cx.config);
        config.rto_min = wanted.rto_min;
        config.rto_max = wanted.rto_max;
        config.rto_initial = wanted.rto_initial;
        config.association_max_retrans = wanted.association_max_retrans;
        config.sack_delay = wanted.sack_delay;
        config.sack_frequency = wanted.sack_frequency;
        config.max_burst = wanted.max_burst;
        config.nodelay = wanted.nodelay;
        config.max_segment = wanted.max_segment;
        config.autoclose = wanted.autoclose;
        config.shutdown_timeout = wanted.shutdown_timeout;
        config.progress_timeout = wanted.progress_timeout;
        config.abort_stalled_peer = wanted.abort_stalled_peer;
        if let Some(paths) = self.path_table_mut() {
            for path in paths.iter_mut() {
                path.rto.set_limits(wanted.rto_min, wanted.rto_max);
            }
        }
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.sack.configure(&wanted);
            if restart_autoclose {
                match idle {
                    Some(_) => self.cx.restart_autoclose(now),
                    None => self.cx.timers.stop(Timer::Autoclose),
                }
            }
        }
        Ok(())
    }
}
