//! All that a running fake knows, and what it does with a call.

use std::time::Duration;

use crate::answer::Answer;
use crate::api_version::ApiVersion;
use crate::behaviour::Behaviour;
use crate::call::Call;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::fault::{self, FaultKind, Faults};
use crate::identity::{self, Tokens};
use crate::network::Network;
use crate::requests::Request;
use crate::route::{Route, covers};
use crate::throttle::{self, Kind, Throttle};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) clock: Clock,
    pub(crate) port: u16,
    /// Everything that was ever logged, where somebody asks for a dump.
    pub(crate) archive: Option<Vec<Exchange>>,
    tokens: Tokens,
    throttle: Throttle,
    behaviour: Behaviour,
}

impl World {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let mut world = Self {
            network: Network::new(),
            faults: Faults::default(),
            exchanges: Vec::new(),
            clock: Clock::new(behaviour.frozen_clock),
            port: 0,
            archive: None,
            tokens: Tokens::default(),
            throttle: Throttle::default(),
            behaviour: Behaviour::default(),
        };
        world.set(behaviour);
        world
    }

    pub(crate) fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    pub(crate) fn set(&mut self, behaviour: Behaviour) {
        self.network.max_rules = behaviour.max_rules;
        self.network.max_prefixes = behaviour.max_prefixes;
        self.clock.freeze(behaviour.frozen_clock);
        self.behaviour = behaviour;
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn issue_token(&mut self, lifetime: Duration, audience: Option<String>) -> String {
        self.tokens.issue(self.clock.now() + lifetime, audience)
    }

    /// Does what a call asks for, but for what the faults forbid, and logs it. `sent` says whether the answer reaches
    /// the caller whole.
    pub(crate) fn serve(&mut self, call: &Call, faults: &[FaultKind], sent: bool) -> Answer {
        for fault in faults {
            match fault {
                FaultKind::Before(edit) => edit.apply(&mut self.network),
                FaultKind::ExpireTokens => self.tokens.expire_all(),
                _ => {}
            }
        }
        let (answer, action) = self.answer(call, faults);
        let answer = self.with_usual_headers(answer);
        self.log(Exchange::new(call, action, Some(&answer).filter(|_| sent), fault::names(faults)));
        for fault in faults {
            if let FaultKind::After(edit) = fault {
                edit.apply(&mut self.network);
            }
        }
        answer
    }

    /// Logs a call that nothing was done for.
    pub(crate) fn drop_call(&mut self, call: &Call, faults: &[FaultKind]) {
        self.log(Exchange::new(call, None, None, fault::names(faults)));
    }

    fn log(&mut self, exchange: Exchange) {
        if let Some(archive) = &mut self.archive {
            archive.push(exchange.clone());
        }
        self.exchanges.push(exchange);
        self.network.exchanges = self.exchanges.len();
    }

    fn answer(&mut self, call: &Call, faults: &[FaultKind]) -> (Answer, Option<String>) {
        let action = Route::parse(&call.path).map(|route| route.action(call));
        if let Some(answer) = faults.iter().find_map(FaultKind::answer) {
            return (answer, action);
        }
        if let Some(answer) = identity::answer(self, call) {
            return (answer, None);
        }
        let answer = self.arm(call, faults).unwrap_or_else(|refused| refused);
        (answer, action)
    }

    fn arm(&mut self, call: &Call, faults: &[FaultKind]) -> Result<Answer, Answer> {
        if !call.secure {
            return Err(Answer::gateway_error(403, "HttpsRequired", "HTTPS is required."));
        }
        let now = self.clock.now();
        if self.behaviour.require_token {
            self.tokens.check(call, now, self.behaviour.audience.as_deref())?;
        }
        let Some(route) = Route::parse(&call.path) else {
            let text = format!("This stand-in knows no resource '{}'.", call.path);
            return Err(Answer::gateway_error(404, "InvalidResourceType", text));
        };
        self.permit(call, &route.action(call))?;
        let (kind, version) = (Kind::of(call), call.api_version());
        let globally = version.counts_globally();
        let subscription = route.subscription().to_owned();
        let left = match &self.behaviour.buckets {
            None => None,
            Some(buckets) => {
                let say_when = self.behaviour.throttle_retry_after;
                let taken = self.throttle.take(buckets, &subscription, kind, now);
                Some(taken.map_err(|wait| throttle::refused(&subscription, kind, globally, wait, say_when))?)
            }
        };
        let answer = match version_of(call, &route) {
            Ok(version) => Request { world: self, call, faults, version }.answer(&route),
            Err(refused) => refused,
        };
        Ok(throttle::remaining(answer, kind, globally, left))
    }

    fn permit(&self, call: &Call, action: &str) -> Result<(), Answer> {
        let Some(allowed) = &self.behaviour.allowed_actions else { return Ok(()) };
        if allowed.iter().any(|held| covers(held, action)) {
            return Ok(());
        }
        let scope = &call.path;
        let text = format!(
            "The client 'fake' with object id '00000000-0000-0000-0000-000000000000' does not have authorization to \
             perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, \
             please refresh your credentials."
        );
        Err(Answer::gateway_error(403, "AuthorizationFailed", text))
    }

    /// Those that every answer in the recordings has.
    fn with_usual_headers(&mut self, answer: Answer) -> Answer {
        let id = self.network.new_guid();
        answer
            .with("Cache-Control", "no-cache")
            .with("Pragma", "no-cache")
            .with("Expires", "-1")
            .with("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            .with("X-Content-Type-Options", "nosniff")
            .with("x-ms-request-id", id.as_str())
            .with("x-ms-correlation-request-id", id.as_str())
            .with("x-ms-routing-request-id", format!("LOCALHOST:20260101T000000Z:{id}"))
    }
}

/// The version of the API that a call asks for. Resource groups and permissions have versions of
/// their own, which are not looked at.
fn version_of(call: &Call, route: &Route) -> Result<ApiVersion, Answer> {
    let version = call.api_version();
    if version.as_str().is_empty() {
        let text = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Answer::gateway_error(400, "MissingApiVersionParameter", text));
    }
    let foreign = matches!(route, Route::ResourceGroup { .. } | Route::Removal { .. } | Route::Permissions { .. });
    if foreign || version.is_supported() {
        return Ok(version);
    }
    let (asked, supported) = (version.as_str(), ApiVersion::supported());
    let text = format!(
        "No registered resource provider found for API version '{asked}' for type 'networkSecurityGroups'. The \
         supported api-versions are '{supported}'."
    );
    Err(Answer::gateway_error(400, "NoRegisteredProviderFound", text))
}
