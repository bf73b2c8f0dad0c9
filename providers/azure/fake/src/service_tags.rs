//! The Discovery API: service tags by `serviceTags` and `serviceTagDetails`.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;

/// What the Discovery API answers from: a whole answer of `serviceTags`, all its pages in one.
#[derive(Clone, Debug)]
pub(crate) struct Document(Value);

/// The document that the Discovery API would give for one of Microsoft's download files: numbers become strings, and
/// fields that only the file has are left out.
pub fn from_download(file: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    };
    let tags = file["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let values: Vec<Value> = tags
        .iter()
        .map(|tag| {
            let properties = &tag["properties"];
            json!({
                "name": tag["name"], "id": tag["id"],
                "properties": {
                    "changeNumber": text(&properties["changeNumber"]), "region": properties["region"],
                    "systemService": properties["systemService"], "addressPrefixes": properties["addressPrefixes"],
                },
            })
        })
        .collect();
    json!({"changeNumber": text(&file["changeNumber"]), "cloud": file["cloud"], "values": values})
}

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        Self(document)
    }

    /// Two tags of addresses that are reserved for documentation.
    pub(crate) fn example() -> Self {
        let tag = |name: &str, service: &str, region: &str, prefixes: &[&str]| {
            json!({
                "name": name, "id": name,
                "properties": {
                    "changeNumber": "3", "region": region, "systemService": service, "addressPrefixes": prefixes,
                },
            })
        };
        Self(json!({
            "changeNumber": "63", "cloud": "Public",
            "values": [
                tag("AzureActiveDirectory", "AzureAD", "", &["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"]),
                tag("Storage.WestEurope", "AzureStorage", "westeurope", &["203.0.113.0/24"]),
            ],
        }))
    }

    pub(crate) fn json(&self) -> Value {
        self.0.clone()
    }

    fn values(&self) -> &[Value] {
        self.0["values"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn change_number(&self) -> &str {
        self.0["changeNumber"].as_str().unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.values().iter().filter_map(|tag| tag["name"].as_str().map(str::to_owned)).collect()
    }

    /// `serviceTags`.
    pub(crate) fn list(&self, call: &Call, subscription: &str, url: &str, size: usize) -> Answer {
        let cloud = self.0["cloud"].as_str().unwrap_or_default();
        let name = cloud.to_lowercase();
        let (page, next) = self.page(call, url, size, self.values());
        let mut body = json!({
            "name": name, "id": format!("/subscriptions/{subscription}/providers/Microsoft.Network/serviceTags/{name}"),
            "type": "Microsoft.Network/serviceTags", "changeNumber": self.change_number(), "cloud": cloud,
            "values": page,
        });
        if let Some(next) = next {
            body["nextLink"] = json!(next);
        }
        Answer::json(200, body)
    }

    /// `serviceTagDetails`.
    pub(crate) fn details(&self, call: &Call, url: &str, size: usize) -> Answer {
        let (wanted, bare) = (call.query_value("tagName"), call.query_value("noAddressPrefixes"));
        let mut tags: Vec<Value> = self.values().to_vec();
        tags.retain(|tag| wanted.as_ref().is_none_or(|wanted| tag["name"] == json!(wanted)));
        for tag in &mut tags {
            tag["serviceTagChangeNumber"] = json!(self.change_number());
            if bare.as_deref() == Some("true")
                && let Some(properties) = tag["properties"].as_object_mut()
            {
                properties.remove("addressPrefixes");
            }
        }
        let (page, next) = self.page(call, url, size, &tags);
        let mut body = json!({"value": page});
        if let Some(next) = next {
            body["nextLink"] = json!(next);
        }
        Answer::json(200, body)
    }

    fn page(&self, call: &Call, url: &str, size: usize, all: &[Value]) -> (Vec<Value>, Option<String>) {
        let (page, next) = page(call, all, size);
        let number = self.change_number();
        let next = next.map(|token| next_link(call, url, &format!("&changenumber={number}&$skipToken={token}")));
        (page, next)
    }
}

/// The page that a call asks for, and the token of the next.
pub(crate) fn page(call: &Call, all: &[Value], size: usize) -> (Vec<Value>, Option<usize>) {
    let from = call.query_value("$skipToken").and_then(|token| token.parse().ok()).unwrap_or(0).min(all.len());
    let to = from.saturating_add(size.max(1)).min(all.len());
    (all[from..to].to_vec(), (to < all.len()).then_some(to))
}

/// Where the next page is: what was asked for, but for an old token.
pub(crate) fn next_link(call: &Call, url: &str, more: &str) -> String {
    let kept = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().to_lowercase();
        !["$skiptoken", "%24skiptoken", "changenumber"].contains(&name.as_str())
    };
    let query: Vec<&str> = call.query.split('&').filter(kept).collect();
    format!("{url}{}?{}{more}", call.path, query.join("&"))
}
