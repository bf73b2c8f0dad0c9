//! What AWS's errors mean, by their code.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use tagwall_provider::{Cause, ProviderError};

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Option<String>,
    pub(crate) error: ProviderError,
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What AWS answered, without what an SDK error carries besides: headers and a body.
#[derive(Debug, thiserror::Error)]
#[error("AWS answered {code}{}{}{}", if message.is_empty() { "" } else { ": " }, message, request.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
struct Answer {
    code: String,
    message: String,
    request: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Transient,
    Denied,
    Conflict,
    Rejected,
}

impl Failure {
    /// The code that AWS answered, where it answered.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(crate) fn of<E>(action: &'static str, place: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let at = format!("{action} in {place}");
        match (error.code(), error) {
            (Some(code), _) => Self::answered(action, &at, status, error.meta(), code),
            (None, SdkError::TimeoutError(_)) => Self::transient(format!("{at} was not answered in time"), error),
            (None, SdkError::ResponseError(_)) => Self::transient(format!("the answer to {at} cannot be read"), error),
            (None, SdkError::ConstructionFailure(_)) => {
                let cause = Cause::new(format!("{at} cannot be asked for")).because(chain(error));
                Self { code: None, error: ProviderError::rejected(cause) }
            }
            (None, SdkError::ServiceError(_)) if status.is_some_and(|status| status < 500) => {
                let cause = Cause::new(format!("AWS refused {at}")).because(chain(error));
                Self { code: None, error: ProviderError::rejected(cause) }
            }
            (None, _) => {
                if let Some(credentials) = links(error).find_map(|link| link.downcast_ref::<CredentialsError>()) {
                    return Self::without_credentials(&at, credentials);
                }
                let cause = Cause::new(format!("{at} did not reach AWS")).because(chain(error));
                let hint = "is there such a region, and a way to its API: to the internet, or by a VPC endpoint?";
                Self { code: None, error: ProviderError::Transient(cause.hint(hint)) }
            }
        }
    }

    fn answered(
        action: &'static str,
        at: &str,
        status: Option<u16>,
        meta: &aws_sdk_ec2::error::ErrorMetadata,
        code: &str,
    ) -> Self {
        let message = meta.message().unwrap_or_default();
        // What follows is kilobytes that only an administrator can decode.
        let message = message.split("Encoded authorization failure message").next().unwrap_or_default().trim();
        let request = meta.extra("aws_request_id").map(str::to_owned);
        let answer = Answer { code: code.to_owned(), message: message.to_owned(), request };
        let class = class(code, status);
        let cause = Cause::new(match class {
            Class::Transient => format!("{at} did not work this time"),
            Class::Denied => format!("{at} is not allowed"),
            Class::Conflict => format!("{at} came too late: what it names was changed meanwhile"),
            Class::Rejected => format!("AWS refused {at}"),
        });
        let cause = match hint(action, code) {
            Some(hint) => cause.hint(hint),
            None => cause,
        };
        Self { code: Some(code.to_owned()), error: of_class(class, cause.because(answer)) }
    }

    fn without_credentials(at: &str, error: &CredentialsError) -> Self {
        let class = match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Class::Denied,
            CredentialsError::ProviderTimedOut(_) => Class::Transient,
            // What STS answered stands beneath.
            _ => links(error).find_map(code_of_sts).map_or(Class::Transient, |code| class(code, None)),
        };
        let (what, hint) = match (error, class) {
            (CredentialsError::CredentialsNotLoaded(_), _) => (
                "there are no AWS credentials",
                "give them by environment, profile, web identity, or the role of the container or instance",
            ),
            (CredentialsError::InvalidConfiguration(_), _) => {
                ("the configuration of AWS credentials is wrong", "see the profile and the files that it names")
            }
            (_, Class::Denied) => (
                "AWS refused to give credentials",
                "see the role's trust policy, its external id, and whether what it is assumed with has expired",
            ),
            _ => ("no AWS credentials were had this time", "the next pass tries again"),
        };
        let cause = Cause::new(format!("{what} for {at}")).because(chain(error)).hint(hint);
        Self { code: None, error: of_class(class, cause) }
    }

    fn transient(message: String, error: &(dyn Error + 'static)) -> Self {
        Self { code: None, error: ProviderError::Transient(Cause::new(message).because(chain(error))) }
    }
}

fn of_class(class: Class, cause: Cause) -> ProviderError {
    match class {
        Class::Transient => ProviderError::Transient(cause),
        Class::Denied => ProviderError::Denied(cause),
        Class::Conflict => ProviderError::Conflict(cause),
        Class::Rejected => ProviderError::rejected(cause),
    }
}

/// What a code means. Those that say that a rule, an entry or a version is not what it was are conflicts: read again,
/// plan again.
fn class(code: &str, status: Option<u16>) -> Class {
    match code {
        "InvalidPermission.Duplicate"
        | "InvalidPermission.NotFound"
        | "InvalidSecurityGroupRuleId.NotFound"
        | "InvalidSecurityGroupRuleID.NotFound"
        // CreateTags says so of a rule that is gone.
        | "InvalidID"
        | "PrefixListVersionMismatch"
        | "PrefixListMaxEntriesExceeded"
        | "IncorrectState" => Class::Conflict,
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IDPRejectedClaim"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidIdentityToken"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "PendingVerification"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Class::Denied,
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "SlowDown"
        | "IDPCommunicationError"
        | "InternalError"
        | "InternalFailure"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "Unavailable" => Class::Transient,
        _ if status.is_some_and(|status| status >= 500) => Class::Transient,
        _ => Class::Rejected,
    }
}

/// What to do about it, where something is known.
fn hint(action: &str, code: &str) -> Option<String> {
    Some(match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            format!("allow {action} to whom tagwall runs as; `packaging/aws` has whole policies")
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => {
            "the credentials are not known there: are key and secret right, and is the region enabled?".to_owned()
        }
        "OptInRequired" => "the account has to enable this region first".to_owned(),
        "ExpiredToken" | "ExpiredTokenException" => {
            "the session has expired: log in again, or give credentials that renew themselves".to_owned()
        }
        "RequestExpired" => "either the session has expired, or this host's clock is wrong".to_owned(),
        "RequestLimitExceeded" => "AWS throttles the account in this region; the next pass tries again".to_owned(),
        "InvalidGroup.NotFound" | "InvalidGroupId.Malformed" => {
            "is the group of this region and account, and its id whole?".to_owned()
        }
        "InvalidPrefixListID.NotFound" | "InvalidPrefixListId.NotFound" => {
            "is the list of this region and account, and its id whole?".to_owned()
        }
        "RulesPerSecurityGroupLimitExceeded" => {
            "the group takes fewer rules than `quota` says, or somebody else's came meanwhile; nothing was changed by this call"
                .to_owned()
        }
        _ => return None,
    })
}

/// The code that STS answered, where this link of a chain is its error.
fn code_of_sts<'a>(link: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let role = link.downcast_ref::<AssumeRoleError>().and_then(ProvideErrorMetadata::code);
    role.or_else(|| link.downcast_ref::<AssumeRoleWithWebIdentityError>().and_then(ProvideErrorMetadata::code))
}

/// An error and what stands beneath it.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link: &&'a (dyn Error + 'static)| (*link).source())
}

/// An error of the SDK in one line, without what it carries besides.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for link in links(error) {
        let text = link.to_string();
        // Some repeat what stands beneath.
        if !said.iter().any(|known| known.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, status: u16, expect: Class) {
        assert_eq!(class(code, Some(status)), expect, "{code} {status}");
    }

    #[test]
    fn codes_and_what_they_mean() {
        check("InvalidPermission.Duplicate", 400, Class::Conflict);
        check("PrefixListVersionMismatch", 400, Class::Conflict);
        check("UnauthorizedOperation", 403, Class::Denied);
        check("ExpiredToken", 400, Class::Denied);
        // EC2 throttles with 503, and with 400 at times.
        check("RequestLimitExceeded", 503, Class::Transient);
        check("RequestLimitExceeded", 400, Class::Transient);
        // What nobody has heard of is told apart by its status.
        check("Unheard", 500, Class::Transient);
        check("Unheard", 400, Class::Rejected);
        check("RulesPerSecurityGroupLimitExceeded", 400, Class::Rejected);
        check("InvalidGroup.NotFound", 400, Class::Rejected);
    }

    #[test]
    fn an_answer_is_told_in_one_line() {
        let told = |message: &str, request: Option<&str>| {
            let request = request.map(str::to_owned);
            Answer { code: "Code".to_owned(), message: message.to_owned(), request }.to_string()
        };
        assert_eq!(told("", None), "AWS answered Code");
        assert_eq!(told("not so", Some("abc")), "AWS answered Code: not so (request abc)");
    }

    /// Kilobytes that only an administrator can decode stand in no log.
    #[test]
    fn the_encoded_part_of_a_denial_is_left_out() {
        let meta = aws_sdk_ec2::error::ErrorMetadata::builder();
        let message = "You are not authorized. Encoded authorization failure message: c2VjcmV0";
        let meta = meta.code("UnauthorizedOperation").message(message).build();
        let code = "UnauthorizedOperation";
        let failure = Failure::answered("ec2:CreateTags", "ec2:CreateTags in eu-west-1", Some(403), &meta, code);
        assert_eq!(failure.error.class(), "denied");
        assert!(failure.error.hint().is_some_and(|hint| hint.contains("allow ec2:CreateTags")));
        let beneath = failure.error.source().map(ToString::to_string);
        assert_eq!(beneath.as_deref(), Some("AWS answered UnauthorizedOperation: You are not authorized."));
    }
}
