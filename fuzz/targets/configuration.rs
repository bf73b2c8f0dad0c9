//! Whatever stands in a configuration file, reading it ends, never panics, and an error names the file.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tagwall::config::Config;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text, Path::new("/etc/fuzzed.toml")) {
        Ok(config) => {
            for target in &config.targets {
                assert!(!target.ports.is_empty() && !target.ports.contains(&0));
                assert!(!target.lists.is_empty());
                assert!(target.lists.iter().all(|list| config.lists.contains_key(list)));
            }
            for list in config.lists.values() {
                assert!(!list.families.is_empty());
            }
        }
        Err(error) => assert!(error.to_string().contains("/etc/fuzzed.toml")),
    }
});
