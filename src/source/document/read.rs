//! The visitors that walk the document once.
//!
//! Written by hand, as derived ones would build a `String` for each of 96,000 prefixes, could not say which tag an
//! error is in, and would not count unknown fields.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tagwall_provider::{IpNet, Ipv4Net, Ipv6Net};

use super::{PrefixError, Problem, instead, prefix};
use crate::source::{Cloud, Tag};

/// Above any change number Microsoft can have reached: 376 after seven years of weekly ones.
const LARGEST_CHANGE_NUMBER: u64 = 1_000_000;

/// The longest text of a name, region or service in characters; the longest real one has 47.
const LONGEST_TEXT: usize = 128;

/// What is carried along while a document is read.
#[derive(Default)]
pub(super) struct Reader {
    /// Why reading was given up, where the content was the reason.
    pub(super) problem: Option<Problem>,
    /// The tag being read, once its name is known.
    pub(super) tag: Option<Box<str>>,
    /// Fields passed over.
    pub(super) unknown_fields: u64,
    /// The lower-case names of the tags so far.
    names: HashSet<String>,
    /// The prefixes of the tag being read: each tag gets vectors of its exact size, copied from these.
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
    /// Room to look for repetitions.
    sorted_v4: Vec<Ipv4Net>,
    sorted_v6: Vec<Ipv6Net>,
}

impl Reader {
    fn refuse<E: Error>(&mut self, problem: Problem) -> E {
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
        let mut tags = Vec::new();
        while let Some(tag) = seq.next_element_seed(Value(self.0))? {
            if !self.0.names.insert(tag.name.to_ascii_lowercase()) {
                return Err(self.0.refuse(Problem::RepeatedTag(tag.name)));
            }
            self.0.tag = None;
            tags.push(tag);
        }
        if tags.is_empty() {
            return Err(self.0.refuse(Problem::NoTags));
        }
        Ok(tags)
    }
}

/// One tag, with its properties one level below.
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
    type Value = Tag;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag with `name`, `id` and `properties`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tag, A::Error> {
        let (mut name, mut id, mut tag) = (None, None, None);
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
                ValueField::Properties => set(&mut tag, "properties", map.next_value_seed(Properties(self.0))?)?,
                ValueField::Unknown => {
                    self.0.unknown_fields += 1;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (name, id, tag) = (need(name, "name")?, need(id, "id")?, need(tag, "properties")?);
        if name != id {
            return Err(self.0.refuse(Problem::Id(id)));
        }
        Ok(Tag { name, ..tag })
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

/// A change number.
struct Number<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Number<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if number > LARGEST_CHANGE_NUMBER { Err(self.0.refuse(Problem::ChangeNumber(number))) } else { Ok(number) }
    }
}

/// The name of the cloud.
struct CloudName<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for CloudName<'_> {
    type Value = Cloud;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cloud, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for CloudName<'_> {
    type Value = Cloud;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a cloud")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cloud, E> {
        let known = Cloud::ALL.into_iter().find(|cloud| cloud.document_name() == name);
        known.ok_or_else(|| self.0.refuse(Problem::UnknownCloud(instead::shown(name))))
    }
}

/// A name: letters, digits, dots, hyphens and underscores. It is printed on terminals and into rules.
struct Text<'a> {
    reader: &'a mut Reader,
    field: &'static str,
    least: usize,
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Box<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = Box<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.field)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Box<str>, E> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if (self.least..=LONGEST_TEXT).contains(&text.len()) && text.bytes().all(plain) {
            Ok(text.into())
        } else {
            Err(self.reader.refuse(Problem::Text { field: self.field, text: instead::shown(text) }))
        }
    }
}

/// The prefixes of a tag, IPv4 and IPv6 apart.
struct Prefixes<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Prefixes<'_> {
    type Value = (Vec<Ipv4Net>, Vec<Ipv6Net>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Prefixes<'_> {
    type Value = (Vec<Ipv4Net>, Vec<Ipv6Net>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of prefixes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let reader = self.0;
        reader.v4.clear();
        reader.v6.clear();
        while seq.next_element_seed(Prefix(reader))?.is_some() {}
        let v4 = repeated(&reader.v4, &mut reader.sorted_v4).map(IpNet::V4);
        let repeated = v4.or_else(|| repeated(&reader.v6, &mut reader.sorted_v6).map(IpNet::V6));
        match repeated {
            Some(prefix) => Err(reader.refuse(Problem::RepeatedPrefix(prefix.to_string()))),
            None => Ok((reader.v4.clone(), reader.v6.clone())),
        }
    }
}

/// A prefix that is there twice, if one is.
fn repeated<T: Ord + Copy>(prefixes: &[T], sorted: &mut Vec<T>) -> Option<T> {
    // Most tags come in order, and then nothing has to be sorted.
    if prefixes.is_sorted_by(|a, b| a < b) {
        return None;
    }
    sorted.clear();
    sorted.extend_from_slice(prefixes);
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// One prefix, put with the others of its family.
struct Prefix<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Prefix<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Prefix<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prefix")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match prefix::read(text) {
            Ok(IpNet::V4(prefix)) => self.0.v4.push(prefix),
            Ok(IpNet::V6(prefix)) => self.0.v6.push(prefix),
            Err(why) => return Err(refuse_prefix(self.0, text, why)),
        }
        Ok(())
    }
}

#[cold]
fn refuse_prefix<E: Error>(reader: &mut Reader, text: &str, why: PrefixError) -> E {
    reader.refuse(Problem::Prefix { text: instead::shown(text), why })
}
