//! How long what Microsoft dropped stays, written as `"14d"` or `"2 publications"`.

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

use super::TimeSpan;
use crate::grace::Grace;

/// A grace period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovalGrace(pub Grace);

impl std::str::FromStr for RemovalGrace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(Grace::None));
        }
        let problem = || format!("`{text}` is no grace period, write it like \"14d\", \"2 publications\" or \"none\"");
        if let Some(count) = text.strip_suffix("publications").or_else(|| text.strip_suffix("publication")) {
            let count = count.trim_end().parse().ok().filter(|count| *count > 0);
            return count.map(Grace::Publications).map(Self).ok_or_else(problem);
        }
        let span: TimeSpan = text.parse().map_err(|_| problem())?;
        SignedDuration::try_from(span.0).map(Grace::Time).map(Self).map_err(|_| problem())
    }
}

impl<'de> Deserialize<'de> for RemovalGrace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for RemovalGrace {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RemovalGrace".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["14d", "2 publications", "none"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_periods_are_read() {
        let check = |text: &str, expect| assert_eq!(text.parse().ok(), expect, "{text}");
        check("14d", Some(RemovalGrace(Grace::Time(SignedDuration::from_hours(14 * 24)))));
        check("2 publications", Some(RemovalGrace(Grace::Publications(2))));
        check("1 publication", Some(RemovalGrace(Grace::Publications(1))));
        check("none", Some(RemovalGrace(Grace::None)));
        check("0 publications", None);
        check("-1 publications", None);
        check("14", None);
        check("", None);
    }
}
