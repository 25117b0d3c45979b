//! Time: `tokio::time`, counted from the creation of the endpoint, so that a paused clock works.

use std::time::Duration;

use tokio::time::Instant;

/// Far enough to be never, near enough for every platform's clock.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> sctp_proto::Instant {
        let passed = self.epoch.elapsed();
        sctp_proto::Instant::from_nanos(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn to_tokio(self, deadline: sctp_proto::Instant) -> Instant {
        self.epoch + Duration::from_nanos(deadline.as_nanos()).min(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_a_paused_clock_there_and_back() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_millis(1500)).await;
        let now = clock.now();
        assert_eq!(now.as_nanos(), 1_500_000_000);
        assert_eq!(clock.to_tokio(now), Instant::now());
        let never = sctp_proto::Instant::from_nanos(u64::MAX);
        assert_eq!(clock.to_tokio(never), clock.epoch + NEVER);
    }
}
