//! The memory provider and the conformance suite that every provider runs.
