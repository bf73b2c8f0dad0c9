//! Microsoft's download page: from the page to its newest document, and the ways round when the page fails.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use url::Url;

use super::fetch::{Arrival, Fetch};
use super::http::Answer;
use super::page::{self, Link};
use super::{ShownUrl, SourceError, page::newest_link};
use crate::chain::chain;

/// The most bytes a page may have; real ones have some hundred thousand.
const PAGE_LIMIT: u64 = 4 * 1024 * 1024;

/// How many weeks back a newer document is looked for beside the last known one.
const WEEKS: usize = 5;

impl Fetch<'_> {
    /// The newest document: where the page links to, else the confirmation page, else beside the last known one.
    pub(super) async fn newest(&mut self) -> Result<Arrival, SourceError> {
        let page = self.settings.page()?;
        let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut failure = match self.link_from(&page, today).await {
            Ok(link) => return self.document(&link.url, self.settings.attempts).await,
            Err(error) => error,
        };
        self.warnings.push(chain(&failure));
        // A host that cannot be reached at all does not answer under another path either.
        let unreachable = matches!(failure, SourceError::Network { .. } | SourceError::Tls { .. });
        if let Some(confirmation) = confirmation(&page).filter(|_| !unreachable) {
            match self.link_from(&confirmation, today).await {
                Ok(link) => return self.document(&link.url, self.settings.attempts).await,
                Err(error) => {
                    self.warnings.push(chain(&error));
                    failure = graver(failure, error);
                }
            }
        }
        // To guess names is a way round trouble, not round a host that may not be the right one.
        if !failure.may_be_bridged() {
            return Err(failure);
        }
        match self.stored.and_then(|stored| stored.record.url.clone()) {
            Some(known) => self.beside(&known, today, failure).await,
            None => Err(failure),
        }
    }

    async fn link_from(&self, page: &Url, today: Date) -> Result<Link, SourceError> {
        let once = || async {
            match self.http.get(page, PAGE_LIMIT, None).await? {
                Answer::Body { bytes, .. } => Ok(bytes),
                Answer::NotModified => Err(SourceError::Status { url: page.into(), status: 304, retry_after: None }),
            }
        };
        let bytes = self.http.retrying(self.settings.attempts, once).await?;
        let cloud = self.settings.cloud;
        newest_link(&String::from_utf8_lossy(&bytes), cloud, &self.http.pins, today)
            .map_err(|seen| SourceError::NoLink { page: page.into(), cloud, seen })
    }

    /// The newest document at the last known path: those of the last Mondays, then the known one itself.
    async fn beside(&mut self, known: &Url, today: Date, failure: SourceError) -> Result<Arrival, SourceError> {
        let since = page::date_in(page::name(known));
        let mondays = since.into_iter().flat_map(|since| mondays(today, since));
        let candidates: Vec<Url> = mondays.filter_map(|monday| page::with_date(known, monday)).collect();
        for url in candidates.iter().chain([known]) {
            match self.document(url, 1).await {
                Ok(arrival) => {
                    let url = ShownUrl::from(url);
                    self.warnings.push(format!("{url} was found by its name alone, without the page"));
                    return Ok(arrival);
                }
                // Not there: answered as such, or with a page that says so.
                Err(SourceError::Status { status: 403 | 404 | 410, .. }) => {}
                Err(SourceError::Document { source, .. }) if source.may_pass() => {}
                Err(error) => {
                    self.warnings.push(chain(&error));
                    return Err(graver(failure, error));
                }
            }
        }
        Err(failure)
    }
}

/// Which of two failures is told: what nothing may stand in for, else what came first.
fn graver(first: SourceError, second: SourceError) -> SourceError {
    if first.may_be_bridged() && !second.may_be_bridged() { second } else { first }
}

/// The page that came after the details page for years, and still exists now and then.
fn confirmation(page: &Url) -> Option<Url> {
    if !page::name(page).eq_ignore_ascii_case("details.aspx") {
        return None;
    }
    let mut url = page.clone();
    url.path_segments_mut().ok()?.pop().push("confirmation.aspx");
    Some(url)
}

/// The Mondays after a date up to today, newest first. Documents are dated by Mondays.
fn mondays(today: Date, since: Date) -> impl Iterator<Item = Date> {
    let newest =
        if today.weekday() == Weekday::Monday { Some(today) } else { today.nth_weekday(-1, Weekday::Monday).ok() };
    let before = |monday: &Date| monday.nth_weekday(-1, Weekday::Monday).ok();
    std::iter::successors(newest, before).take_while(move |monday| *monday > since).take(WEEKS)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[track_caller]
    fn check(today: Date, since: Date, expect: &[Date]) {
        assert_eq!(mondays(today, since).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn mondays_after_the_known_one() {
        let day = |day| date(2025, 6, day);
        check(day(12), day(9), &[]);
        check(day(16), day(9), &[day(16)]);
        check(day(24), day(9), &[day(23), day(16)]);
        check(day(29), day(9), &[day(23), day(16)]);
        // Dated on another day, as some are.
        check(day(12), day(8), &[day(9)]);
        check(day(12), date(2024, 1, 1), &[day(9), day(2), date(2025, 5, 26), date(2025, 5, 19), date(2025, 5, 12)]);
        check(date(2024, 1, 1), day(9), &[]);
    }

    #[test]
    fn the_confirmation_page_lies_beside_the_details_page() {
        let check = |page: &str, expect: Option<&str>| {
            let found = confirmation(&Url::parse(page).unwrap()).map(String::from);
            assert_eq!(found.as_deref(), expect);
        };
        check(
            "https://www.microsoft.com/en-us/download/details.aspx?id=56519",
            Some("https://www.microsoft.com/en-us/download/confirmation.aspx?id=56519"),
        );
        check(
            "https://www.microsoft.com/en-us/download/Details.ASPX?id=1",
            Some("https://www.microsoft.com/en-us/download/confirmation.aspx?id=1"),
        );
        check("https://mirror.example/index.html", None);
    }
}
