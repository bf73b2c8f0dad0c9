//! A span of time, written as `"21d"` or `"1h 30m"`.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SpanRelativeTo, Unit};
use serde::{Deserialize, Deserializer, de};

/// A span of time. Days have 24 hours: limits are about how long, not about calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = || format!("`{text}` is no span of time, write it like \"10m\", \"6h\" or \"21d\"");
        let span: jiff::Span = text.parse().map_err(|_| problem())?;
        let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| problem())?;
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| problem())
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["10m", "6h", "21d"] })
    }
}
