//! What is done for each request that reaches the network provider.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::api_version::ApiVersion;
use crate::call::Call;
use crate::demands::{bad_content, no_child, no_resource_group};
use crate::fault::FaultKind;
use crate::group::{Group, Wanted};
use crate::network::{NsgName, ResourceGroup, Snapshot, place};
use crate::operation::{Failure, Operation, What};
use crate::render;
use crate::route::Route;
use crate::rule::Rule;
use crate::service_tags::{next_link, page};
use crate::validate;
use crate::world::World;

/// A request and all that it may touch.
pub(crate) struct Request<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) call: &'a Call,
    pub(crate) faults: &'a [FaultKind],
    pub(crate) version: ApiVersion,
}

/// An early answer is an error of some kind.
type Answered = Result<Answer, Answer>;

impl Request<'_> {
    pub(crate) fn answer(&mut self, route: &Route) -> Answer {
        let answered = match (self.call.method.as_str(), route) {
            (_, Route::ResourceGroup { subscription, name }) => self.resource_group(subscription, name),
            ("GET", Route::Removal { .. }) => Ok(Answer::nothing(200)),
            ("GET", Route::Groups { subscription, resource_group }) => {
                self.list_groups(subscription, resource_group.as_deref())
            }
            ("GET", Route::Group { nsg }) => self.read_group(&nsg.nsg()),
            ("PUT", Route::Group { nsg }) => self.put_group(&nsg.nsg()),
            ("PATCH", Route::Group { nsg }) => self.patch_group(&nsg.nsg()),
            ("DELETE", Route::Group { nsg }) => self.delete_group(&nsg.nsg()),
            ("GET", Route::Rules { nsg }) => self.list_rules(&nsg.nsg()),
            ("GET", Route::Rule { nsg, rule }) => self.read_rule(&nsg.nsg(), rule),
            ("PUT", Route::Rule { nsg, rule }) => self.put_rule(&nsg.nsg(), rule),
            ("DELETE", Route::Rule { nsg, rule }) => self.delete_rule(&nsg.nsg(), rule),
            ("GET", Route::DefaultRules { nsg }) => self.default_rules(&nsg.nsg(), None),
            ("GET", Route::DefaultRule { nsg, rule }) => self.default_rules(&nsg.nsg(), Some(rule)),
            ("GET", Route::Permissions { nsg }) => self.permissions(&nsg.nsg()),
            ("GET", Route::Operation { id, .. }) => self.poll(id),
            ("GET", Route::OperationResult { id, .. }) => self.result(id),
            ("GET", Route::ServiceTags { subscription }) => {
                let (url, size) = (self.world.url(), self.world.behaviour().tags_page_size);
                let mut answer = self.world.network.tags.list(self.call, subscription, &url, size);
                for fault in self.faults {
                    if let (FaultKind::NextPage(next), Content::Json(body)) = (fault, &mut answer.body) {
                        body["nextLink"] = json!(next);
                    }
                }
                Ok(answer)
            }
            ("GET", Route::ServiceTagDetails { .. }) => {
                let (url, size) = (self.world.url(), self.world.behaviour().tags_page_size);
                Ok(self.world.network.tags.details(self.call, &url, size))
            }
            (method, _) => {
                let text = format!("The http method '{method}' is not supported for this resource.");
                Err(Answer::gateway_error(405, "HttpMethodNotSupported", text))
            }
        };
        answered.unwrap_or_else(|error| error)
    }

    fn resource_group(&mut self, subscription: &str, name: &str) -> Answered {
        let key = (subscription.to_lowercase(), name.to_lowercase());
        let known = self.world.network.resource_groups.get(&key).cloned();
        let status = match (self.call.method.as_str(), &known) {
            ("PUT", None) => 201,
            ("GET" | "PUT", Some(_)) => 200,
            ("DELETE", Some(_)) => return Ok(self.remove_resource_group(subscription, name)),
            _ => return Err(no_resource_group(name)),
        };
        let group = match known {
            Some(group) => group,
            None => ResourceGroup { name: name.to_owned(), location: self.location(&self.body()?)? },
        };
        let body = json!({
            "id": format!("/subscriptions/{subscription}/resourceGroups/{}", group.name), "name": group.name,
            "type": "Microsoft.Resources/resourceGroups", "location": group.location,
            "properties": {"provisioningState": "Succeeded"},
        });
        self.world.network.resource_groups.insert(key, group);
        Ok(Answer::json(status, body))
    }

    fn remove_resource_group(&mut self, subscription: &str, name: &str) -> Answer {
        let gone: Vec<NsgName> =
            self.world.network.list(subscription, Some(name)).map(|group| group.name.clone()).collect();
        for nsg in gone {
            self.world.network.delete_nsg(&nsg);
        }
        self.world.network.resource_groups.remove(&(subscription.to_lowercase(), name.to_lowercase()));
        let (url, version, id) = (self.world.url(), self.version.as_str(), self.world.network.new_guid());
        let location = format!("{url}/subscriptions/{subscription}/operationresults/{id}?api-version={version}");
        Answer::nothing(202).with("Location", location).retry_after(self.world.behaviour().retry_after)
    }

    fn list_groups(&mut self, subscription: &str, resource_group: Option<&str>) -> Answered {
        if let Some(name) = resource_group {
            self.expect_resource_group(subscription, name)?;
        }
        let names: Vec<NsgName> =
            self.world.network.list(subscription, resource_group).map(|group| group.name.clone()).collect();
        for nsg in names {
            self.world.network.step(&nsg);
        }
        let groups = self.world.network.list(subscription, resource_group);
        let all: Vec<Value> = groups.map(|group| group.render(&self.version)).collect();
        Ok(self.page_of(&all))
    }

    fn read_group(&mut self, nsg: &NsgName) -> Answered {
        let (group, snapshot) = self.seen(nsg)?;
        Ok(Answer::json(200, group.render_as(&snapshot, &self.version)).with("ETag", snapshot.etag))
    }

    /// What the caller's one role holds, as `Microsoft.Authorization/permissions` lists it.
    fn permissions(&self, nsg: &NsgName) -> Answered {
        self.expect_group(nsg)?;
        let everything = || vec!["*".to_owned()];
        let actions = self.world.behaviour().allowed_actions.clone().unwrap_or_else(everything);
        let role = json!({"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []});
        Ok(Answer::json(200, json!({"value": [role]})))
    }

    fn put_group(&mut self, nsg: &NsgName) -> Answered {
        validate::name(&nsg.name)?;
        self.expect_resource_group(&nsg.subscription, &nsg.resource_group)?;
        let body = self.body()?;
        let location = self.location(&body)?;
        let Some(wanted) = Wanted::read(&body, &location) else {
            return Err(bad_content("a security rule has no name or no properties"));
        };
        self.expect_idle(nsg)?;
        let existing = self.world.network.get(nsg).cloned();
        if let Some(group) = &existing
            && !group.location.eq_ignore_ascii_case(&wanted.location)
        {
            let (id, at) = (nsg.id(), &group.location);
            let text = format!(
                "The resource '{id}' already exists in location '{at}'. A resource with the same name cannot be created in location '{location}'."
            );
            return Err(Answer::gateway_error(409, "InvalidResourceLocation", text));
        }
        self.expect_conditions(nsg, &nsg.id(), existing.is_some())?;
        self.world.network.check(nsg, &wanted.rules, None)?;
        let begun = if existing.as_ref().is_some_and(|group| wanted.is(group) && !group.has_failed()) {
            self.world.network.ended_at_once(nsg, What::PutGroup, &self.version)
        } else {
            self.world.network.make(nsg, &location);
            self.begin(nsg, What::PutGroup, |group| {
                group.tags = wanted.tags;
                group.properties = wanted.properties;
                group.now.rules = wanted.rules;
            })
        };
        let shown = self.world.network.get(nsg).map_or(Value::Null, |group| group.render(&self.version));
        Ok(self.name_operation(Answer::json(if existing.is_some() { 200 } else { 201 }, shown), begun.as_ref()))
    }

    /// Tags alone; it is no long-running operation.
    fn patch_group(&mut self, nsg: &NsgName) -> Answered {
        self.expect_group(nsg)?;
        let body = self.body()?;
        self.expect_idle(nsg)?;
        self.world.network.write(nsg, "Succeeded", |group| group.tags = body.get("tags").cloned());
        let shown = self.world.network.get(nsg).map_or(Value::Null, |group| group.render(&self.version));
        Ok(Answer::json(200, shown))
    }

    fn delete_group(&mut self, nsg: &NsgName) -> Answered {
        self.expect_resource_group(&nsg.subscription, &nsg.resource_group)?;
        self.expect_idle(nsg)?;
        if self.world.network.get(nsg).is_none() {
            return Ok(Answer::nothing(204));
        }
        let begun = self.begin(nsg, What::DeleteGroup, |_| ());
        Ok(self.name_removal(begun.as_ref()))
    }

    fn list_rules(&mut self, nsg: &NsgName) -> Answered {
        let (group, snapshot) = self.seen(nsg)?;
        let rules = snapshot.rules.iter().map(|rule| group.render_rule(rule, &snapshot, &self.version));
        Ok(self.page_of(&rules.collect::<Vec<_>>()))
    }

    fn read_rule(&mut self, nsg: &NsgName, name: &str) -> Answered {
        let (group, snapshot) = self.seen(nsg)?;
        match snapshot.rules.iter().find(|rule| rule.is_named(name)) {
            Some(rule) => {
                let shown = group.render_rule(rule, &snapshot, &self.version);
                Ok(Answer::json(200, shown).with("ETag", snapshot.etag.as_str()))
            }
            None => Err(no_child(nsg, "securityRules", name)),
        }
    }

    fn put_rule(&mut self, nsg: &NsgName, name: &str) -> Answered {
        validate::name(name)?;
        self.expect_parent(nsg, "write")?;
        let body = self.body()?;
        self.expect_idle(nsg)?;
        let old = self.rule(nsg, name);
        // A name is shown as it was first written.
        let shown_name = old.as_ref().map_or(name, |rule| &rule.name);
        let Some(rule) = Rule::from_body(shown_name, &body) else {
            return Err(bad_content("the security rule has no properties"));
        };
        if self.world.behaviour().if_match_on_rules {
            self.expect_conditions(nsg, &format!("{}/securityRules/{name}", nsg.id()), old.is_some())?;
        }
        let mut rules = self.world.network.rules(nsg);
        place(&mut rules, rule.clone());
        self.world.network.check(nsg, &rules, Some(name))?;
        let failed = self.world.network.get(nsg).is_some_and(Group::has_failed);
        let begun = if old.as_deref() == Some(&rule) && !failed {
            self.world.network.ended_at_once(nsg, What::PutRule(rule.name.clone()), &self.version)
        } else {
            self.begin(nsg, What::PutRule(rule.name.clone()), |group| group.now.rules = rules)
        };
        let shown = self
            .world
            .network
            .get(nsg)
            .map_or(Value::Null, |group| group.render_rule(&rule, &group.now, &self.version));
        Ok(self.name_operation(Answer::json(if old.is_some() { 200 } else { 201 }, shown), begun.as_ref()))
    }

    fn delete_rule(&mut self, nsg: &NsgName, name: &str) -> Answered {
        self.expect_parent(nsg, "delete")?;
        self.expect_idle(nsg)?;
        if self.rule(nsg, name).is_none() {
            return Ok(Answer::nothing(204));
        }
        if self.world.behaviour().if_match_on_rules {
            self.expect_conditions(nsg, &format!("{}/securityRules/{name}", nsg.id()), true)?;
        }
        let begun = self.begin(nsg, What::DeleteRule, |group| group.now.rules.retain(|rule| !rule.is_named(name)));
        Ok(self.name_removal(begun.as_ref()))
    }

    fn default_rules(&mut self, nsg: &NsgName, name: Option<&str>) -> Answered {
        let (group, snapshot) = self.seen(nsg)?;
        let all = render::default_rules(&group.name, &snapshot, &self.version);
        let Some(name) = name else { return Ok(self.page_of(&all)) };
        let found =
            all.into_iter().find(|rule| rule["name"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name)));
        found.map(|rule| Answer::json(200, rule)).ok_or_else(|| no_child(nsg, "defaultSecurityRules", name))
    }

    fn poll(&mut self, id: &str) -> Answered {
        let operation = self.operation(id, "operations")?;
        let answer = Answer::json(200, operation.status());
        let again = if operation.ended { None } else { self.world.behaviour().poll_retry_after };
        Ok(answer.retry_after(again))
    }

    /// What `Location` names: 202 until it has ended, then 204 of a removal, and the resource of a PUT.
    fn result(&mut self, id: &str) -> Answered {
        let operation = self.operation(id, "operationResults")?;
        if !operation.ended {
            let answer = self.name_removal(Some(&operation));
            return Ok(answer.retry_after(self.world.behaviour().poll_retry_after));
        }
        if let Some(Failure { code, message, .. }) = &operation.failure {
            return Err(Answer::refused(400, code, message.as_str()));
        }
        match &operation.what {
            What::DeleteGroup | What::DeleteRule => {
                let answer = self.name_removal(Some(&operation));
                // As recorded, though there is nothing.
                Ok(Answer { status: 204, ..answer }.with("Content-Type", "application/json; charset=utf-8"))
            }
            What::PutGroup => self.read_group(&operation.nsg),
            What::PutRule(rule) => self.read_rule(&operation.nsg, rule),
        }
    }

    fn operation(&mut self, id: &str, kind: &str) -> Result<Operation, Answer> {
        let Some(operation) = self.world.network.poll(id) else {
            let text = format!("Operation {id} not found.");
            return Err(Answer::refused(404, "OperationNotFound", text));
        };
        let address = operation.address(kind);
        let query = address.split_once('?').map_or("", |(_, query)| query);
        if query == self.call.query {
            return Ok(operation);
        }
        // The address is signed: who puts it together anew gets nothing.
        let text = "The address of the operation is not the one that was given.";
        Err(Answer::gateway_error(400, "InvalidOperationAddress", text))
    }

    fn begin(&mut self, nsg: &NsgName, what: What, change: impl FnOnce(&mut Group)) -> Option<Operation> {
        let faults = self.faults;
        let slow =
            faults.iter().find_map(|fault| if let FaultKind::Polls(polls) = fault { Some(*polls) } else { None });
        let polls = slow.unwrap_or(self.world.behaviour().polls);
        let before = self.world.network.get(nsg).map(Group::before);
        let begun = self.world.network.begin(nsg, what, polls, &self.version, change);
        let failure = faults.iter().find_map(|fault| match fault {
            FaultKind::FailOperation { code, message, applied } => Some(Failure {
                code: code.clone(),
                message: message.clone(),
                before: if *applied { None } else { before.clone() },
            }),
            _ => None,
        });
        if let Some(operation) = self.world.network.operation_of(nsg) {
            operation.failure = failure;
        }
        begun
    }

    fn name_operation(&self, answer: Answer, operation: Option<&Operation>) -> Answer {
        let hidden = self.faults.iter().any(|fault| matches!(fault, FaultKind::NoOperationHeaders));
        let Some(operation) = operation.filter(|_| !hidden && self.world.behaviour().operation_headers) else {
            return answer;
        };
        answer
            .with("Azure-AsyncOperation", self.address(operation, "operations"))
            .with("Azure-AsyncNotification", "Enabled")
            .retry_after(self.world.behaviour().retry_after)
    }

    fn name_removal(&self, operation: Option<&Operation>) -> Answer {
        let answer = self.name_operation(Answer::nothing(202), operation);
        match operation {
            Some(operation) if !answer.headers.is_empty() => {
                answer.with("Location", self.address(operation, "operationResults"))
            }
            _ => answer,
        }
    }

    pub(crate) fn address(&self, operation: &Operation, kind: &str) -> String {
        let other = self
            .faults
            .iter()
            .find_map(|fault| if let FaultKind::OperationHost(url) = fault { Some(url) } else { None });
        let url = other.cloned().unwrap_or_else(|| self.world.url());
        format!("{url}{}", operation.address(kind))
    }

    /// An NSG as a read shows it. Reading is a step towards the end of an operation under way.
    fn seen(&mut self, nsg: &NsgName) -> Result<(Group, Snapshot), Answer> {
        self.world.network.step(nsg);
        let stale =
            self.faults.iter().find_map(|fault| if let FaultKind::Stale(back) = fault { Some(*back) } else { None });
        let group = self.expect_group(nsg)?;
        let snapshot =
            stale.and_then(|back| self.world.network.earlier(nsg, back)).unwrap_or_else(|| group.now.clone());
        Ok((group, snapshot))
    }

    fn rule(&self, nsg: &NsgName, name: &str) -> Option<Arc<Rule>> {
        self.world.network.rules(nsg).into_iter().find(|rule| rule.is_named(name))
    }

    fn page_of(&self, all: &[Value]) -> Answer {
        let (page, next) = page(self.call, all, self.world.behaviour().page_size);
        let mut body = json!({"value": page});
        if let Some(token) = next {
            body["nextLink"] = json!(next_link(self.call, &self.world.url(), &format!("&$skipToken={token}")));
        }
        Answer::json(200, body)
    }
}
