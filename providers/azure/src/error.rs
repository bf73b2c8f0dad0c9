//! What Azure's answers mean to the operator: the class of each failure, and what to do about it.

use tagwall_arm::ArmError;
use tagwall_provider::{Cause, ProviderError};

/// What a plan takes.
pub const READING: &[&str] = &["Microsoft.Network/networkSecurityGroups/read"];

/// What a change takes besides. Reading operations is a convenience: without it the rule itself is asked.
pub const WRITING: &[&str] = &[
    "Microsoft.Network/networkSecurityGroups/securityRules/read",
    "Microsoft.Network/networkSecurityGroups/securityRules/write",
    "Microsoft.Network/networkSecurityGroups/securityRules/delete",
    "Microsoft.Network/locations/operations/read",
];

/// What `check` takes besides, to say without writing whether writing would be allowed. A convenience as well.
pub const CHECKING: &[&str] = &["Microsoft.Authorization/permissions/read"];

/// Gives a failure its class and says what to do. `doing` is what came to nothing.
pub(crate) fn classified(doing: String, error: ArmError) -> ProviderError {
    let (class, hint) = class_of(&error);
    let cause = Cause::new(doing).because(error);
    let cause = match hint {
        Some(hint) => cause.hint(hint),
        None => cause,
    };
    match class {
        Class::Transient => ProviderError::Transient(cause),
        Class::Denied => ProviderError::Denied(cause),
        Class::Conflict => ProviderError::Conflict(cause),
        Class::Rejected => ProviderError::rejected(cause),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Transient,
    Denied,
    Conflict,
    Rejected,
}

fn class_of(error: &ArmError) -> (Class, Option<String>) {
    let told = |class, hint: &str| (class, Some(hint.to_owned()));
    match error {
        ArmError::Credential { transient: true, .. } | ArmError::Network { .. } | ArmError::Unreadable { .. } => {
            (Class::Transient, None)
        }
        ArmError::Credential { .. } => told(
            Class::Denied,
            "name one with `credential`, and see that its secret, token file or role has not expired: `tagwall check` tries it",
        ),
        ArmError::Tls { .. } => told(
            Class::Rejected,
            "where a proxy opens TLS connections, name its certificate in `extra-ca`; see also that the clock is right",
        ),
        ArmError::Settings { .. } | ArmError::CaFile { .. } | ArmError::Astray { .. } => (Class::Rejected, None),
        ArmError::Unended { .. } => told(Class::Transient, "Azure goes on with it; the next pass looks how it ended"),
        ArmError::Operation { state, fault, .. } => {
            if error.is_transient() {
                (Class::Transient, None)
            } else if state.eq_ignore_ascii_case("Canceled") || fault.is(PRIORITY_TAKEN) {
                // Somebody else's operation came in its place.
                (Class::Conflict, None)
            } else {
                (Class::Rejected, of_code(fault))
            }
        }
        ArmError::Status { status: 429, retry_after, .. } => {
            let until = retry_after.map(|wait| format!(" for {} s", wait.as_secs())).unwrap_or_default();
            let hint = format!(
                "Azure slows this identity down in this subscription and region{until}: give tagwall an identity of its own, or run it less often"
            );
            (Class::Transient, Some(hint))
        }
        ArmError::Status { status, fault, .. } => of_status(*status, fault, error.is_transient()),
    }
}

/// Somebody else took it since it was looked at: the next look refuses.
const PRIORITY_TAKEN: &str = "SecurityRuleConflict";

fn of_status(status: u16, fault: &tagwall_arm::Fault, transient: bool) -> (Class, Option<String>) {
    let told = |class, hint: &str| (class, Some(hint.to_owned()));
    match status {
        _ if transient && status == 409 => {
            told(Class::Transient, "another operation runs on the network security group: the next pass tries again")
        }
        _ if transient => (Class::Transient, None),
        401 => told(
            Class::Denied,
            "Azure does not take the token: see that `cloud` is the subscription's, and the credential of its tenant",
        ),
        403 if fault.is("RequestDisallowedByPolicy") => told(
            Class::Rejected,
            "an Azure Policy forbids the rule: ask who assigned it for an exemption of this group",
        ),
        403 if fault.is("ReadOnlyDisabledSubscription") => (Class::Rejected, None),
        403 => (Class::Denied, Some(denied(&fault.message))),
        412 => (Class::Conflict, None),
        400 if fault.is(PRIORITY_TAKEN) => (Class::Conflict, None),
        _ => (Class::Rejected, of_code(fault)),
    }
}

/// The action that the message names, or all of them. For people: no class depends on it.
fn denied(message: &str) -> String {
    let named = READING.iter().chain(WRITING).filter(|action| message.contains(*action));
    // The longest: one action's name is the beginning of no other's, but of some paths.
    match named.max_by_key(|action| action.len()) {
        Some(action) => {
            format!("give the identity a role with `{action}` on the network security group; a new role takes minutes")
        }
        None => format!(
            "give the identity a role with {} on the network security group; a new role takes minutes",
            READING.iter().chain(WRITING).map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn of_code(fault: &tagwall_arm::Fault) -> Option<String> {
    let hints = [
        (
            "SubscriptionNotFound",
            "see that `subscription` and `cloud` are right, and that the identity may read anything there",
        ),
        (
            "InvalidSubscriptionId",
            "`subscription` is its identifier (eight, four, four, four and twelve digits), not its name",
        ),
        ("ResourceGroupNotFound", "see that `resource-group` is right"),
        ("ResourceNotFound", "see that `nsg` and `resource-group` are right: tagwall makes no network security group"),
        ("NotFound", "see that `nsg` and `resource-group` are right: tagwall makes no network security group"),
        (
            "ScopeLocked",
            "a lock stands on the group, its resource group or subscription: it has to go, or stop at deletions",
        ),
        (
            "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
            "the group is full: let Azure resolve the tag (`mode = \"service-tag\"`), or name narrower tags",
        ),
        ("SecurityRuleCountLimitReached", "the group takes no more rules: let others go"),
        (
            "SecurityRuleParameterContainsUnsupportedValue",
            "Azure knows no such service tag for network security groups: leave out `mode = \"service-tag\"`, and prefixes are listed",
        ),
        (
            "SecurityRuleInvalidAddressPrefix",
            "Azure knows no such service tag for network security groups: leave out `mode = \"service-tag\"`, and prefixes are listed",
        ),
    ];
    hints.iter().find(|(code, _)| fault.is(code)).map(|(_, hint)| (*hint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tagwall_arm::Fault;

    fn fault(code: &str, message: &str) -> Fault {
        Fault { code: code.to_owned(), message: message.to_owned(), details: Vec::new() }
    }

    fn check(status: u16, code: &str, expected: Class, hint: &str) {
        let error = ArmError::Status { request: String::new(), status, fault: fault(code, ""), retry_after: None };
        let (class, found) = class_of(&error);
        assert_eq!(class, expected, "{status} {code}");
        assert!(found.clone().unwrap_or_default().contains(hint), "{status} {code}: {found:?}");
    }

    #[test]
    fn statuses_and_codes_have_their_class_and_say_what_to_do() {
        check(401, "InvalidAuthenticationToken", Class::Denied, "tenant");
        check(403, "AuthorizationFailed", Class::Denied, "securityRules/write");
        check(403, "RequestDisallowedByPolicy", Class::Rejected, "Policy");
        check(404, "SubscriptionNotFound", Class::Rejected, "`subscription`");
        check(404, "ResourceGroupNotFound", Class::Rejected, "`resource-group`");
        check(404, "ResourceNotFound", Class::Rejected, "makes no network security group");
        check(409, "AnotherOperationInProgress", Class::Transient, "next pass");
        check(409, "ScopeLocked", Class::Rejected, "lock");
        check(412, "PreconditionFailed", Class::Conflict, "");
        check(400, "SecurityRuleConflict", Class::Conflict, "");
        check(400, "SecurityRuleCountLimitReached", Class::Rejected, "no more rules");
        check(429, "SubscriptionRequestsThrottled", Class::Transient, "identity of its own");
        check(503, "", Class::Transient, "");
        check(400, "Whatever", Class::Rejected, "");
    }

    #[test]
    fn a_missing_action_is_named_where_azure_names_it() {
        let message = "The client 'x' does not have authorization to perform action 'Microsoft.Network/networkSecurityGroups/securityRules/write' over scope '/s'";
        let hint = denied(message);
        assert!(hint.contains("securityRules/write`") && !hint.contains("delete"), "{hint}");
        assert!(denied("?").contains("securityRules/delete"));
    }

    #[test]
    fn operations_that_were_superseded_are_conflicts() {
        let check = |state: &str, code: &str, expected: Class| {
            let error = ArmError::Operation { request: String::new(), state: state.to_owned(), fault: fault(code, "") };
            assert_eq!(class_of(&error).0, expected, "{state} {code}");
        };
        check("Canceled", "", Class::Conflict);
        check("Failed", "InternalServerError", Class::Transient);
        check("Failed", "SecurityRuleConflict", Class::Conflict);
        check("Failed", "SomethingElse", Class::Rejected);
    }
}
