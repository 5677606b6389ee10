//! What an envelope promises, tried from outside.

mod allocation;
mod damage;
mod drawing;
mod fixture;
mod refusal;
mod round_trip;
mod sample;
