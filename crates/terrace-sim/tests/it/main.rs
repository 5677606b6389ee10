//! Replays with known outcomes.

mod files;
mod import;
mod known_figures;
mod shipped;
mod synthetic;
