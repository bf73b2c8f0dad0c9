//! The visitors that walk the document once.
//!
//! Written by hand, as derived ones would build a `String` for each of 96,000 prefixes, could not say which tag an
//! error is in, and would not count unknown fields.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tagwall_provider::{Ipv4Net, Ipv6Net};

use super::Problem;
use super::leaf::{CloudName, Number, Prefixes, Text};
use crate::source::{Cloud, Tag};

/// What is carried along while a document is read.
#[derive(Default)]
pub(super) struct Reader {
    /// Why reading was given up, where the content was the reason.
    pub(super) problem: Option<Problem>,
    /// The tag being read, once its name is known.
    pub(super) tag: Option<Box<str>>,
    /// Fields passed over.
    pub(super) unknown_fields: u64,
    /// The only tags that are kept, in lower case, where not all are: of the others nothing is read but the name.
    wanted: Option<HashSet<String>>,
    /// The lower-case names of the tags so far.
    names: HashSet<String>,
    /// The prefixes of the tag being read: each tag gets vectors of its exact size, copied from these.
    pub(super) v4: Vec<Ipv4Net>,
    pub(super) v6: Vec<Ipv6Net>,
    /// Room to look for repetitions.
    pub(super) sorted_v4: Vec<Ipv4Net>,
    pub(super) sorted_v6: Vec<Ipv6Net>,
}

impl Reader {
    /// A reader of these tags alone, named in lower case.
    pub(super) fn of(wanted: HashSet<String>) -> Self {
        Self { wanted: Some(wanted), ..Self::default() }
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&name.to_ascii_lowercase()))
    }

    /// Notes the problem, and makes the error that ends the reading.
    pub(super) fn refuse<E: Error>(&mut self, problem: Problem) -> E {
        let error = E::custom(&problem);
        self.problem = Some(problem);
        error
    }
}

/// The whole document, except what the reader has.
pub(super) struct Head {
    pub(super) cloud: Cloud,
    pub(super) change_number: u64,
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum TopField {
    ChangeNumber,
    Cloud,
    Values,
    #[serde(other)]
    Unknown,
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = Head;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Head, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document with `changeNumber`, `cloud` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let (mut change_number, mut cloud, mut tags) = (None, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                TopField::ChangeNumber => set(&mut change_number, "changeNumber", map.next_value_seed(Number(self))?)?,
                TopField::Cloud => set(&mut cloud, "cloud", map.next_value_seed(CloudName(self))?)?,
                TopField::Values => set(&mut tags, "values", map.next_value_seed(Values(self))?)?,
                TopField::Unknown => {
                    self.unknown_fields += 1;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Head {
            cloud: need(cloud, "cloud")?,
            change_number: need(change_number, "changeNumber")?,
            tags: need(tags, "values")?,
        })
    }
}

fn set<T, E: Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn need<T, E: Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
    field.ok_or_else(|| E::missing_field(name))
}

/// The list of tags.
struct Values<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Vec<Tag>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Tag>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Vec<Tag>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Tag>, A::Error> {
        let (mut tags, mut is_empty) = (Vec::new(), true);
        while let Some(tag) = seq.next_element_seed(Value(self.0))? {
            is_empty = false;
            let Some(tag) = tag else { continue };
            if !self.0.names.insert(tag.name.to_ascii_lowercase()) {
                return Err(self.0.refuse(Problem::RepeatedTag(tag.name)));
            }
            self.0.tag = None;
            tags.push(tag);
        }
        if is_empty {
            return Err(self.0.refuse(Problem::NoTags));
        }
        Ok(tags)
    }
}

/// One tag, with its properties one level below; none where it is not wanted.
struct Value<'a>(&'a mut Reader);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum ValueField {
    Name,
    Id,
    Properties,
    #[serde(other)]
    Unknown,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<Tag>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Tag>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<Tag>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag with `name`, `id` and `properties`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Tag>, A::Error> {
        let (mut name, mut id, mut tag, mut passed_over) = (None, None, None, false);
        while let Some(field) = map.next_key()? {
            match field {
                ValueField::Name => {
                    let text = map.next_value_seed(Text { reader: self.0, field: "tag name", least: 1 })?;
                    self.0.tag = Some(text.clone());
                    set(&mut name, "name", text)?;
                }
                ValueField::Id => {
                    set(&mut id, "id", map.next_value_seed(Text { reader: self.0, field: "tag id", least: 1 })?)?;
                }
                ValueField::Properties if name.as_deref().is_some_and(|name| !self.0.wants(name)) => {
                    map.next_value::<IgnoredAny>()?;
                    passed_over = true;
                }
                ValueField::Properties => set(&mut tag, "properties", map.next_value_seed(Properties(self.0))?)?,
                ValueField::Unknown => {
                    self.0.unknown_fields += 1;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if passed_over {
            return Ok(None);
        }
        let (name, id, tag) = (need(name, "name")?, need(id, "id")?, need(tag, "properties")?);
        if name != id {
            return Err(self.0.refuse(Problem::Id(id)));
        }
        // The name may stand behind the properties.
        Ok(self.0.wants(&name).then_some(Tag { name, ..tag }))
    }
}

/// The properties of a tag: all of it but its name.
struct Properties<'a>(&'a mut Reader);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Property {
    ChangeNumber,
    Region,
    Platform,
    SystemService,
    AddressPrefixes,
    /// Known and of no use here: `null`, absent or a list of texts, and absent or a number.
    NetworkFeatures,
    RegionId,
    #[serde(other)]
    Unknown,
}

impl<'de> DeserializeSeed<'de> for Properties<'_> {
    type Value = Tag;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Properties<'_> {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the properties of a tag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tag, A::Error> {
        let reader = self.0;
        let (mut change_number, mut region, mut platform, mut service, mut prefixes) = (None, None, None, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Property::ChangeNumber => {
                    set(&mut change_number, "changeNumber", map.next_value_seed(Number(reader))?)?;
                }
                Property::Region => {
                    set(&mut region, "region", map.next_value_seed(Text { reader, field: "region", least: 0 })?)?;
                }
                Property::Platform => {
                    set(&mut platform, "platform", map.next_value_seed(Text { reader, field: "platform", least: 0 })?)?;
                }
                Property::SystemService => {
                    let text = map.next_value_seed(Text { reader, field: "system service", least: 0 })?;
                    set(&mut service, "systemService", text)?;
                }
                Property::AddressPrefixes => {
                    set(&mut prefixes, "addressPrefixes", map.next_value_seed(Prefixes(reader))?)?;
                }
                Property::NetworkFeatures | Property::RegionId => {
                    map.next_value::<IgnoredAny>()?;
                }
                Property::Unknown => {
                    reader.unknown_fields += 1;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        need(platform, "platform")?;
        let (v4, v6) = need(prefixes, "addressPrefixes")?;
        Ok(Tag {
            name: Box::default(),
            change_number: need(change_number, "changeNumber")?,
            region: need(region, "region")?,
            system_service: need(service, "systemService")?,
            v4,
            v6,
        })
    }
}
