//! Replays with known outcomes.

mod files;
mod known_figures;
mod synthetic;
