//! Which stream sends next (RFC 8260 §3).

use std::sync::Arc;

use super::{AssociationConfig, SchedulerKind};
use crate::scheduler::{MakeScheduler, StreamScheduler};

impl AssociationConfig {
    /// The stream scheduler (RFC 8260 §3). Default round robin.
    /// [`Association::set_scheduler`](crate::Association::set_scheduler) changes it later.
    pub fn scheduler(&mut self, kind: SchedulerKind) -> &mut Self {
        self.scheduler = kind;
        self.custom_scheduler = None;
        self
    }

    /// A stream scheduler of the user's own, made anew for each association. Default none.
    pub fn custom_scheduler(
        &mut self,
        make: impl Fn() -> Box<dyn StreamScheduler> + Send + Sync + 'static,
    ) -> &mut Self {
        self.custom_scheduler = Some(MakeScheduler(Arc::new(make)));
        self
    }
}
