//! Whatever comes in place of a document, reading it ends, never panics, and what it takes is what was written.

#![no_main]

use std::error::Error;

use libfuzzer_sys::fuzz_target;
use tagwall::source::parse;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, "fuzz", None) {
        Ok(publication) => {
            for tag in &publication.tags {
                assert_eq!(publication.tag(&tag.name.to_ascii_uppercase()), Some(tag));
                for prefix in &tag.v4 {
                    assert_eq!(*prefix, prefix.trunc());
                    assert!((1..=32).contains(&prefix.prefix_len()));
                }
                for prefix in &tag.v6 {
                    assert_eq!(*prefix, prefix.trunc());
                    assert!((1..=128).contains(&prefix.prefix_len()));
                }
            }
            // The end of a document is its last byte but white space: nothing shorter is one.
            let end = bytes.trim_ascii_end().len();
            assert!(parse(&bytes[..end - 1], "fuzz", None).is_err());
        }
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&error);
            while let Some(error) = cause {
                // Somebody else's text must not reach a terminal as it is.
                let said = error.to_string();
                assert!(!said.chars().any(char::is_control), "{said:?}");
                cause = error.source();
            }
        }
    }
});
