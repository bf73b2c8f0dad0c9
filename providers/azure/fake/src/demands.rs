//! What a request must be before anything is done for it.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::group::Group;
use crate::network::NsgName;
use crate::requests::Request;

impl Request<'_> {
    pub(crate) fn body(&self) -> Result<Value, Answer> {
        let kind = self.call.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            let text =
                format!("The content media type '{kind}' is not supported. Only 'application/json' is supported.");
            return Err(Answer::gateway_error(415, "UnsupportedMediaType", text));
        }
        let body = self.call.json().filter(Value::is_object);
        body.ok_or_else(|| bad_content("the body is no JSON object"))
    }

    pub(crate) fn location(&self, body: &Value) -> Result<String, Answer> {
        let _ = self;
        let location = body.get("location").and_then(Value::as_str).filter(|location| !location.is_empty());
        let missing =
            || Answer::gateway_error(400, "LocationRequired", "The location property is required for this definition.");
        location.map(str::to_owned).ok_or_else(missing)
    }

    pub(crate) fn expect_resource_group(&self, subscription: &str, name: &str) -> Result<(), Answer> {
        self.world.network.resource_group(subscription, name).map(|_| ()).ok_or_else(|| no_resource_group(name))
    }

    pub(crate) fn expect_group(&self, nsg: &NsgName) -> Result<Group, Answer> {
        self.expect_resource_group(&nsg.subscription, &nsg.resource_group)?;
        self.world.network.get(nsg).cloned().ok_or_else(|| {
            let (name, resource_group) = (&nsg.name, &nsg.resource_group);
            let text = format!(
                "The Resource 'Microsoft.Network/networkSecurityGroups/{name}' under resource group \
                 '{resource_group}' was not found. For more details please go to \
                 https://aka.ms/ARMResourceNotFoundFix"
            );
            Answer::gateway_error(404, "ResourceNotFound", text)
        })
    }

    pub(crate) fn expect_parent(&self, nsg: &NsgName, verb: &str) -> Result<(), Answer> {
        self.expect_resource_group(&nsg.subscription, &nsg.resource_group)?;
        if self.world.network.get(nsg).is_some() {
            return Ok(());
        }
        let text = format!(
            "Failed to perform '{verb}' on resource(s) of type 'networkSecurityGroups/securityRules', because the \
             parent resource '{}' could not be found.",
            nsg.id()
        );
        Err(Answer::gateway_error(404, "ParentResourceNotFound", text))
    }

    /// No operation may be under way.
    pub(crate) fn expect_idle(&mut self, nsg: &NsgName) -> Result<(), Answer> {
        let Some(operation) = self.world.network.step(nsg) else { return Ok(()) };
        let address = self.address(&operation, "operations");
        let text = format!(
            "Another operation on this or dependent resource is in progress. To retrieve status of the operation use \
             uri: {address}."
        );
        Err(Answer::refused(409, "AnotherOperationInProgress", text))
    }

    /// If-Match and If-None-Match, against the ETag that a group and its rules share.
    pub(crate) fn expect_conditions(&self, nsg: &NsgName, id: &str, exists: bool) -> Result<(), Answer> {
        let etag =
            self.world.network.get(nsg).filter(|_| exists).map(|group| group.now.etag.clone()).unwrap_or_default();
        let bare = |value: &str| value.trim_start_matches("W/").trim_matches('"').to_owned();
        if let Some(wanted) = self.call.header("if-match")
            && !(exists && (wanted == "*" || bare(wanted) == bare(&etag)))
        {
            let text = format!(
                "Etag provided in if-match header W/\"{}\" does not match etag {etag} of resource {id} in NRP data store.",
                bare(wanted)
            );
            return Err(precondition_failed("PreconditionFailedEtagMismatch", &text));
        }
        if self.call.header("if-none-match") == Some("*") && exists {
            return Err(precondition_failed("PreconditionFailedResourceExists", &format!("Resource {id} exists.")));
        }
        Ok(())
    }
}

fn precondition_failed(code: &str, text: &str) -> Answer {
    let details = json!([{"code": code, "message": text}]);
    let error = json!({"code": "PreconditionFailed", "message": "Precondition failed.", "details": details});
    Answer::json(412, json!({"error": error}))
}

pub(crate) fn no_resource_group(name: &str) -> Answer {
    let text = format!("Resource group '{name}' could not be found.");
    Answer::gateway_error(404, "ResourceGroupNotFound", text)
}

pub(crate) fn no_child(nsg: &NsgName, kind: &str, name: &str) -> Answer {
    Answer::refused(404, "NotFound", format!("Resource {}/{kind}/{name} not found.", nsg.id()))
}

pub(crate) fn bad_content(why: &str) -> Answer {
    let text = format!("The request content was invalid and could not be deserialized: '{why}'.");
    Answer::gateway_error(400, "InvalidRequestContent", text)
}
