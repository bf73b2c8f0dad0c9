//! Properties of the contract's types against independent models.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "in a test a panic is the answer, and the model's numbers are small"
)]

mod cover;
mod sets;
mod words;
mod world;
