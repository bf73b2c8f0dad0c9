//! The Service Tag Discovery API: Microsoft's list, as Resource Manager gives it to those who may read it
//! (`Microsoft.Network/locations/serviceTags/read`).

use std::collections::BTreeSet;

use azure_core::http::Method;
use serde_json::Value;
use url::Url;

use crate::ArmError;
use crate::client::{Client, Condition, shown};

const API_VERSION: &str = "2024-03-01";
/// There are some 3,000 tags, and a page is rarely less than all of them.
const MOST_PAGES: usize = 500;
/// How often a list that is replaced while it is read is read again.
const MOST_REPLACED: usize = 3;

impl Client {
    /// Reads all pages of the list, as they came. The location says which version is asked for, not which regions: every
    /// answer has all of the subscription's cloud.
    ///
    /// All pages are of one change number: where they are not, Microsoft published in between, and they are read again.
    ///
    /// # Errors
    /// As [`Client::get`], and [`ArmError::Unreadable`] where the pages do not fit together.
    pub async fn service_tags(&self, subscription: &str, location: &str) -> Result<Vec<Vec<u8>>, ArmError> {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        for (what, text) in [("subscription", subscription), ("location", location)] {
            if !plain(text) {
                return Err(ArmError::Settings { what: format!("`{text}` is no {what} of Azure") });
            }
        }
        let path =
            format!("/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags");
        let first = self.url(&path, API_VERSION)?;
        for _ in 0..MOST_REPLACED {
            if let Some(pages) = self.pages(&first).await? {
                return Ok(pages);
            }
            tracing::debug!("the list of service tags was replaced while it was read");
        }
        let what = "its pages were of different change numbers, again and again".to_owned();
        Err(ArmError::Unreadable { request: shown(Method::Get, &first), what })
    }

    /// All pages, unless they are of several versions.
    async fn pages(&self, first: &Url) -> Result<Option<Vec<Vec<u8>>>, ArmError> {
        let request = shown(Method::Get, first);
        let unfit = |what: &str| ArmError::Unreadable { request: request.clone(), what: what.to_owned() };
        let (mut pages, mut url, mut number, mut asked) = (Vec::new(), first.clone(), None, BTreeSet::new());
        loop {
            if !asked.insert(url.clone()) {
                return Err(unfit("its pages go round in a circle"));
            }
            let answer = self.call(Method::Get, &url, None, Condition::Any).await?;
            let page = answer.json(&request)?;
            let of_page = page["changeNumber"].clone();
            if *number.get_or_insert_with(|| of_page.clone()) != of_page {
                return Ok(None);
            }
            pages.push(answer.body);
            match &page["nextLink"] {
                Value::Null => return Ok(Some(pages)),
                Value::String(next) if next.is_empty() => return Ok(Some(pages)),
                Value::String(_) if pages.len() == MOST_PAGES => return Err(unfit("there is no end of its pages")),
                // `call` holds it against our own host before a token is added.
                Value::String(next) => url = Url::parse(next).map_err(|_| unfit("the next page's address is none"))?,
                _ => return Err(unfit("the next page's address is none")),
            }
        }
    }
}
