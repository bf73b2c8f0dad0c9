//! The switches.

use serde::{Deserialize, Serialize};

/// How the fake behaves. Change some of it by `Behaviour { polls: 3, ..arm.behaviour() }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches, each for itself")]
pub struct Behaviour {
    /// Whether If-Match is honoured on PUT and DELETE of a single rule. No recording shows it, so it is not, at first.
    pub if_match_on_rules: bool,
    /// How often an operation is still in progress before it ends. Each poll counts, each read of the group, and each
    /// write that was refused because of it: whoever comes back finds it ended at some time.
    pub polls: u32,
    /// Retry-After of the answer that begins an operation, in seconds. Answers of 2016 to 2019 had 1, 3 or 10, those of
    /// 2025 none.
    pub retry_after: Option<u64>,
    /// Retry-After of a poll that says InProgress.
    pub poll_retry_after: Option<u64>,
    /// Whether answers that begin an operation name it in headers.
    pub operation_headers: bool,
    /// How many NSGs or rules a page of a list has.
    pub page_size: usize,
    /// How many service tags a page has.
    pub tags_page_size: usize,
    /// Token buckets of each subscription; without them nothing is throttled.
    pub buckets: Option<Buckets>,
    /// Whether 429 of a bucket says when to come back.
    pub throttle_retry_after: bool,
    /// Whether calls need a bearer token that this fake gave and that has not expired.
    pub require_token: bool,
    /// Lifetime of the tokens given, in seconds.
    pub token_lifetime: u64,
    /// The only tenant there is; any if unset.
    pub tenant: Option<String>,
    /// The only client there is; any if unset.
    pub client_id: Option<String>,
    /// The client's secret; any if unset.
    pub client_secret: Option<String>,
    /// The client's assertion (the token of a workload identity); any if unset.
    pub client_assertion: Option<String>,
    /// What `X-IDENTITY-HEADER` must be at the managed identity's end point.
    pub identity_header: Option<String>,
    /// The only audience whose tokens are taken (`https://management.azure.com`); any if unset.
    pub audience: Option<String>,
    /// The actions that the caller's role holds, `*` for any text; everything if unset.
    pub allowed_actions: Option<Vec<String>>,
    /// Rules that an NSG takes.
    pub max_rules: usize,
    /// Prefixes that all rules of an NSG together take, of sources and of destinations each.
    pub max_prefixes: usize,
    /// Whether time passes only by [`advance`](crate::FakeArm::advance).
    pub frozen_clock: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            if_match_on_rules: false,
            polls: 1,
            retry_after: None,
            poll_retry_after: None,
            operation_headers: true,
            page_size: 500,
            tags_page_size: 200,
            buckets: None,
            throttle_retry_after: true,
            require_token: true,
            token_lifetime: 3599,
            tenant: None,
            client_id: None,
            client_secret: None,
            client_assertion: None,
            identity_header: None,
            audience: None,
            allowed_actions: None,
            max_rules: 1_000,
            max_prefixes: 4_000,
            frozen_clock: false,
        }
    }
}

/// The buckets of one subscription. Azure's are per region, subscription, principal and type of operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buckets {
    /// For GET.
    pub reads: Bucket,
    /// For PUT, PATCH and POST.
    pub writes: Bucket,
    /// For DELETE.
    pub deletes: Bucket,
}

impl Default for Buckets {
    /// Azure's, by its documentation of 2024.
    fn default() -> Self {
        let bucket = |size, per_second| Bucket { size, per_second };
        Self { reads: bucket(250, 25), writes: bucket(200, 10), deletes: bucket(200, 10) }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// What it holds when full.
    pub size: u32,
    /// What comes in.
    pub per_second: u32,
}
