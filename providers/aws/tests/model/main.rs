//! The pure part of the AWS provider against models that share no code with it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the answer, figures are printed, and the model's numbers are small"
)]

mod advice;
mod data;
mod lists;
mod passes;
mod placing;
mod policies;
mod replay;
mod widen;
mod world;
