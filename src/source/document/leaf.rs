//! The visitors of single values: numbers, names, prefixes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use tagwall_provider::{IpNet, Ipv4Net, Ipv6Net};

use super::read::Reader;
use super::{PrefixError, Problem, instead, prefix};
use crate::source::Cloud;

/// Above any change number Microsoft can have reached: 376 after seven years of weekly ones.
const LARGEST_CHANGE_NUMBER: u64 = 1_000_000;

/// The longest text of a name, region or service in characters; the longest real one has 47.
const LONGEST_TEXT: usize = 128;

/// A change number.
pub(super) struct Number<'a>(pub(super) &'a mut Reader);

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
pub(super) struct CloudName<'a>(pub(super) &'a mut Reader);

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
pub(super) struct Text<'a> {
    pub(super) reader: &'a mut Reader,
    /// What it is called in messages.
    pub(super) field: &'static str,
    /// The fewest characters it may have.
    pub(super) least: usize,
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
pub(super) struct Prefixes<'a>(pub(super) &'a mut Reader);

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
