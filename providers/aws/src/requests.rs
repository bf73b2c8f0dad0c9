//! How much AWS was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ec2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::retries::RequestAttempts;

/// How much AWS was asked since the clients were made, over all accounts and regions. Each page of a listing is a call.
/// What the SDK asks to get credentials is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Calls, however often each was tried.
    pub calls: u64,
    /// Tries of these calls beyond their first: after throttling, time-outs and failures of AWS.
    pub retries: u64,
}

/// The running figures, which the clients of all accounts share. They only ever grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    calls: AtomicU64,
    retries: AtomicU64,
}

impl Counted {
    pub(crate) fn requests(&self) -> Requests {
        let Figures { calls, retries } = &*self.0;
        Requests { calls: calls.load(Ordering::Relaxed), retries: retries.load(Ordering::Relaxed) }
    }
}

impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "tagwall counts requests"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let tries = settings.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        let figure = if tries > 1 { &self.0.retries } else { &self.0.calls };
        figure.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
