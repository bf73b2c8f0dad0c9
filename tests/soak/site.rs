//! Microsoft's site for these tests: its page and the document behind it, over TLS, on the world's own loopback.

use std::path::PathBuf;

use crate::support::feed::{Feed, PAGE, Reply};
use crate::support::{World, data};

const DOCUMENT: &str = "/download/7/1/d/71d86715-5596-4529-9b13-da13a5de5b63/ServiceTags_Public_20250609.json";

/// The site.
pub(super) struct Site(Feed);

impl Site {
    /// A site on this world's host, and the configuration of a daemon that fetches from it and whom no publication
    /// surprises: what is tested is the daemon, not the limits.
    pub(super) fn of(world: &World) -> Self {
        let feed = world.host.inside(Feed::start);
        world.write(
            "tagwall.toml",
            &format!(
                "owner = \"test\"\n[source]\npage = \"{}\"\nhosts = [\"{}\"]\nextra-ca = \"{}\"\nattempts = 1\n\
                 [limits]\nloss = \"100%\"\ngrowth = \"1000000%\"\nspecial = [\"documentation\", \"private\"]\n\
                 [lists.entra]\ntags = [\"AzureActiveDirectory\"]\n[targets.edge]\nlists = [\"entra\"]\nnftables = {{}}\n",
                feed.url(PAGE),
                feed.host(),
                feed.ca().display()
            ),
        );
        Self(feed)
    }

    /// Publishes a document: from now on nothing else is answered.
    pub(super) fn publish(&self, document: impl Into<Vec<u8>>) {
        self.fails(Reply::ok(document));
    }

    /// Answers so in the document's place.
    pub(super) fn fails(&self, reply: Reply) {
        self.0.reset();
        let page = include_str!("../fixtures/pages/link.html").replace("HOST", &self.0.host());
        self.0.on(PAGE, Reply::ok(page).header("Content-Type", "text/html; charset=utf-8")).on(DOCUMENT, reply);
    }

    /// Answers so to whatever is asked.
    pub(super) fn fails_altogether(&self, reply: &Reply) {
        self.0.reset();
        self.0.on(PAGE, reply.clone()).on(DOCUMENT, reply.clone());
    }
}

/// A real publication.
pub(super) struct Real {
    text: String,
    /// Where its change number stands.
    number: std::ops::Range<usize>,
}

impl Real {
    /// The newest publications of the public cloud, the older one first; `None` where they are missing.
    pub(super) fn newest(count: usize) -> Option<Vec<Self>> {
        let files = data::of_cloud("Public")?;
        Some(files[files.len() - count..].iter().map(Self::read).collect())
    }

    fn read(path: &PathBuf) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let start = text.find("\"changeNumber\":").unwrap() + "\"changeNumber\":".len();
        let length = text[start..].find(',').unwrap();
        Self { number: start..start + length, text }
    }

    /// Its text with another change number: publications that come round again would be older ones.
    pub(super) fn numbered(&self, number: usize) -> String {
        let mut text = self.text.clone();
        text.replace_range(self.number.clone(), &format!(" {number}"));
        text
    }
}
