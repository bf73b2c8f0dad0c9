//! A request, read whole.

use serde_json::Value;
use url::form_urlencoded;

use crate::api_version::ApiVersion;

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// As sent, without the query.
    pub(crate) path: String,
    /// As sent, without the question mark.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A value of the query, decoded. ARM takes its names in any case.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        value_of(self.query.as_bytes(), name)
    }

    /// A value of a form that was posted.
    pub(crate) fn form_value(&self, name: &str) -> Option<String> {
        value_of(&self.body, name)
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Of a call whose version was checked.
    pub(crate) fn api_version(&self) -> ApiVersion {
        ApiVersion::new(self.query_value("api-version").unwrap_or_default())
    }
}

fn value_of(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form)
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned())
}
