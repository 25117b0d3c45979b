//! Settings about what is written down.

use std::sync::Arc;

use super::AssociationConfig;
use crate::event_log::EventLog;

impl AssociationConfig {
    /// Where what happens to an association is written down. Default `None`: nowhere, at no cost.
    pub fn event_log(&mut self, log: Option<Arc<dyn EventLog>>) -> &mut Self {
        self.event_log = log;
        self
    }
}
