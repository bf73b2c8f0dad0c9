//! The resources: what a third party's edit sees.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::api_version::ApiVersion;
use crate::group::Group;
use crate::operation::{Operation, What};
use crate::rule::Rule;
use crate::service_tags;
use crate::validate::{self, Limits};

/// Which NSG. ARM compares these names in any case, and shows them as they were first written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NsgName {
    /// Its identifier.
    pub subscription: String,
    /// By name.
    pub resource_group: String,
    /// Its own name.
    pub name: String,
}

impl NsgName {
    /// Of these parts.
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> Self {
        let (subscription, resource_group) = (subscription.to_owned(), resource_group.to_owned());
        Self { subscription, resource_group, name: name.to_owned() }
    }

    /// The resource's identifier.
    pub fn id(&self) -> String {
        let Self { subscription, resource_group, name } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Network/\
             networkSecurityGroups/{name}"
        )
    }

    fn key(&self) -> Key {
        (self.subscription.to_lowercase(), self.resource_group.to_lowercase(), self.name.to_lowercase())
    }
}

type Key = (String, String, String);

/// One state of an NSG.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// How many exchanges had been logged before: the one at this place in the log made it, if not a third party did.
    pub exchange: usize,
    /// In the order in which they were added. Empty once the NSG is gone.
    #[serde(serialize_with = "plainly")]
    pub rules: Vec<Arc<Rule>>,
    /// Of the NSG and all its rules.
    pub etag: String,
    /// `Updating`, `Succeeded`, `Failed` or `Deleting`, and `Deleted` for an NSG that is gone.
    pub provisioning_state: String,
}

/// serde serialises no `Arc` without a feature that other crates would get too.
fn plainly<S: Serializer>(rules: &[Arc<Rule>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(Arc::as_ref))
}

/// A resource group.
#[derive(Clone, Debug)]
pub(crate) struct ResourceGroup {
    pub(crate) name: String,
    pub(crate) location: String,
}

/// All resources of all subscriptions.
#[derive(Debug)]
pub struct Network {
    pub(crate) resource_groups: BTreeMap<(String, String), ResourceGroup>,
    pub(crate) groups: BTreeMap<Key, Group>,
    past: HashMap<Key, Vec<Snapshot>>,
    /// Operations that have ended, by identifier.
    ended: HashMap<String, Operation>,
    pub(crate) tags: service_tags::Document,
    /// How many exchanges there were so far.
    pub(crate) exchanges: usize,
    pub(crate) max_rules: usize,
    pub(crate) max_prefixes: usize,
    counter: u64,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            resource_groups: BTreeMap::new(),
            groups: BTreeMap::new(),
            past: HashMap::new(),
            ended: HashMap::new(),
            tags: service_tags::Document::example(),
            exchanges: 0,
            max_rules: usize::MAX,
            max_prefixes: usize::MAX,
            counter: 0,
        }
    }

    /// Makes or replaces an NSG, done at once.
    ///
    /// # Panics
    /// If Azure would refuse the rules.
    pub fn put_nsg(&mut self, nsg: &NsgName, rules: Vec<Rule>) {
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::new).collect();
        self.expect_valid(nsg, &rules);
        self.make(nsg, "westeurope");
        self.write(nsg, "Succeeded", |group| {
            group.now.rules = rules;
            group.operation = None;
        });
    }

    /// Adds or replaces a rule, done at once.
    ///
    /// # Panics
    /// If Azure would refuse it, or there is no such NSG.
    pub fn put_rule(&mut self, nsg: &NsgName, rule: Rule) {
        let mut rules = self.get(nsg).expect("there is such an NSG").now.rules.clone();
        place(&mut rules, rule);
        self.expect_valid(nsg, &rules);
        self.write(nsg, "Succeeded", |group| group.now.rules = rules);
    }

    /// Removes a rule, done at once; nothing where there is none.
    pub fn delete_rule(&mut self, nsg: &NsgName, rule: &str) {
        self.write(nsg, "Succeeded", |group| group.now.rules.retain(|other| !other.is_named(rule)));
    }

    /// Removes an NSG, done at once; nothing where there is none.
    pub fn delete_nsg(&mut self, nsg: &NsgName) {
        if let Some(group) = self.groups.remove(&nsg.key()) {
            let etag = self.new_etag();
            let gone = Snapshot { rules: Vec::new(), etag, provisioning_state: "Deleted".to_owned(), ..group.now };
            self.keep(nsg, gone);
        }
    }

    /// Somebody else's operation comes under way, which is in progress `polls` times and changes nothing.
    ///
    /// # Panics
    /// If there is no such NSG.
    pub fn busy(&mut self, nsg: &NsgName, polls: u32) {
        self.begin(nsg, What::PutGroup, polls, &ApiVersion::latest(), |_| ()).expect("there is such an NSG");
    }

    /// The rules of an NSG as they are stored.
    pub fn rules(&self, nsg: &NsgName) -> Vec<Arc<Rule>> {
        self.get(nsg).map_or_else(Vec::new, |group| group.now.rules.clone())
    }

    /// An NSG as a GET would show it, `Null` if there is none.
    pub fn nsg(&self, nsg: &NsgName) -> Value {
        self.get(nsg).map_or(Value::Null, |group| group.render(&ApiVersion::latest()))
    }

    /// What the Discovery API is to answer.
    pub fn put_service_tags(&mut self, document: Value) {
        self.tags = service_tags::Document::new(document);
    }

    pub(crate) fn states(&self, nsg: &NsgName) -> Vec<Snapshot> {
        self.past.get(&nsg.key()).cloned().unwrap_or_default()
    }

    /// The state that was `back` states ago, or the first.
    pub(crate) fn earlier(&self, nsg: &NsgName, back: usize) -> Option<Snapshot> {
        let past = self.past.get(&nsg.key())?;
        past.get(past.len().saturating_sub(back + 1)).cloned()
    }

    pub(crate) fn get(&self, nsg: &NsgName) -> Option<&Group> {
        self.groups.get(&nsg.key())
    }

    /// Those of a subscription, or of one of its resource groups.
    pub(crate) fn list(&self, subscription: &str, resource_group: Option<&str>) -> impl Iterator<Item = &Group> {
        let (subscription, wanted) = (subscription.to_lowercase(), resource_group.map(str::to_lowercase));
        self.groups.iter().filter_map(move |((of, group, _), value)| {
            (*of == subscription && wanted.as_ref().is_none_or(|wanted| wanted == group)).then_some(value)
        })
    }

    pub(crate) fn check(&self, nsg: &NsgName, rules: &[Arc<Rule>], changed: Option<&str>) -> Result<(), Answer> {
        let limits = Limits { max_rules: self.max_rules, max_prefixes: self.max_prefixes, tags: &self.tags.names() };
        validate::rules(&nsg.id(), rules, changed, &limits)
    }

    pub(crate) fn expect_valid(&self, nsg: &NsgName, rules: &[Arc<Rule>]) {
        if let Err(answer) = self.check(nsg, rules, None) {
            panic!("these rules would be refused: {:?}", answer.body);
        }
    }

    pub(crate) fn resource_group(&self, subscription: &str, name: &str) -> Option<&ResourceGroup> {
        self.resource_groups.get(&(subscription.to_lowercase(), name.to_lowercase()))
    }

    /// Adds an NSG without rules where there is none, and its resource group.
    pub(crate) fn make(&mut self, nsg: &NsgName, location: &str) {
        let resource_group = (nsg.subscription.to_lowercase(), nsg.resource_group.to_lowercase());
        let location = location.to_owned();
        self.resource_groups
            .entry(resource_group)
            .or_insert_with(|| ResourceGroup { name: nsg.resource_group.clone(), location: location.clone() });
        if self.get(nsg).is_some() {
            return;
        }
        let (guid, etag) = (self.new_guid(), self.new_etag());
        let now = Snapshot { exchange: 0, rules: Vec::new(), etag, provisioning_state: "Succeeded".to_owned() };
        let properties = Map::new();
        let group = Group { name: nsg.clone(), location, tags: None, guid, properties, now, operation: None };
        self.groups.insert(nsg.key(), group);
    }

    /// Changes an NSG: its ETag is new, and the state is kept.
    pub(crate) fn write(&mut self, nsg: &NsgName, state: &str, change: impl FnOnce(&mut Group)) {
        let etag = self.new_etag();
        let Some(group) = self.groups.get_mut(&nsg.key()) else { return };
        change(group);
        group.now.etag = etag;
        state.clone_into(&mut group.now.provisioning_state);
        let now = group.now.clone();
        self.keep(nsg, now);
    }

    fn keep(&mut self, nsg: &NsgName, mut now: Snapshot) {
        now.exchange = self.exchanges;
        self.past.entry(nsg.key()).or_default().push(now);
    }

    /// Changes an NSG by an operation that ends after `polls` times of being in progress.
    pub(crate) fn begin(
        &mut self,
        nsg: &NsgName,
        what: What,
        polls: u32,
        version: &ApiVersion,
        change: impl FnOnce(&mut Group),
    ) -> Option<Operation> {
        let id = self.new_guid();
        let state = if what == What::DeleteGroup { "Deleting" } else { "Updating" };
        self.write(nsg, state, change);
        let group = self.groups.get_mut(&nsg.key())?;
        let operation = Operation {
            id,
            location: group.location.clone(),
            nsg: group.name.clone(),
            version: version.clone(),
            remaining: polls,
            what,
            failure: None,
            ended: false,
        };
        group.operation = Some(operation.clone());
        Some(operation)
    }

    /// An operation that changes nothing: it has ended as soon as it began, and the ETag stays.
    pub(crate) fn ended_at_once(&mut self, nsg: &NsgName, what: What, version: &ApiVersion) -> Option<Operation> {
        let id = self.new_guid();
        let group = self.get(nsg)?;
        let (nsg, location) = (group.name.clone(), group.location.clone());
        let version = version.clone();
        let operation = Operation { id, location, nsg, version, remaining: 0, what, failure: None, ended: true };
        self.ended.insert(operation.id.clone(), operation.clone());
        Some(operation)
    }

    pub(crate) fn operation_of(&mut self, nsg: &NsgName) -> Option<&mut Operation> {
        self.groups.get_mut(&nsg.key()).and_then(|group| group.operation.as_mut())
    }

    /// Somebody asks after an NSG: the operation under way comes nearer to its end, or ends. Gives it if it is still
    /// under way.
    pub(crate) fn step(&mut self, nsg: &NsgName) -> Option<Operation> {
        let operation = self.operation_of(nsg)?;
        if operation.remaining > 0 {
            operation.remaining -= 1;
            return Some(operation.clone());
        }
        self.end(nsg);
        None
    }

    fn end(&mut self, nsg: &NsgName) {
        let group = self.groups.get_mut(&nsg.key());
        let Some(mut operation) = group.and_then(|group| group.operation.take()) else { return };
        operation.ended = true;
        match &operation.failure {
            Some(failure) => self.write(nsg, "Failed", |group| {
                if let Some(before) = &failure.before {
                    group.now.rules.clone_from(&before.rules);
                    group.properties.clone_from(&before.properties);
                }
            }),
            None if operation.what == What::DeleteGroup => self.delete_nsg(nsg),
            None => self.write(nsg, "Succeeded", |_| ()),
        }
        self.ended.insert(operation.id.clone(), operation);
    }

    /// An operation by its identifier, a poll nearer to its end.
    pub(crate) fn poll(&mut self, id: &str) -> Option<Operation> {
        let under_way = self.groups.values().find(|group| group.operation.as_ref().is_some_and(|one| one.id == id));
        if let Some(nsg) = under_way.map(|group| group.name.clone())
            && let Some(operation) = self.step(&nsg)
        {
            return Some(operation);
        }
        self.ended.get(id).cloned()
    }

    fn new_etag(&mut self) -> String {
        format!("W/\"{}\"", self.new_guid())
    }

    pub(crate) fn new_guid(&mut self) -> String {
        self.counter += 1;
        // A fixed multiplier spreads the counter, so that no test comes to depend on their order.
        let spread = self.counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (high, middle, low) = (spread >> 32, (spread >> 16) & 0xFFFF, spread & 0xFFF);
        format!("{high:08x}-{middle:04x}-4{low:03x}-8000-{:012x}", self.counter)
    }
}

/// Puts a rule where one of its name stands, else behind the others.
pub(crate) fn place(rules: &mut Vec<Arc<Rule>>, rule: Rule) {
    match rules.iter_mut().find(|other| other.is_named(&rule.name)) {
        Some(old) => *old = Arc::new(rule),
        None => rules.push(Arc::new(rule)),
    }
}
