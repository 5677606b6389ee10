//! What an envelope promises, tried from outside.

mod allocation;
mod codec;
#[cfg(feature = "crypt")]
mod crypt;
mod damage;
mod drawing;
mod fixture;
mod refusal;
mod round_trip;
mod sample;
