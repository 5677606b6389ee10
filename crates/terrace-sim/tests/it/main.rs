//! Replays with known outcomes.

mod files;
mod import;
mod known_figures;
mod synthetic;
