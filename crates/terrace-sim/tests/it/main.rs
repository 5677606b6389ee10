//! Replays with known outcomes.

mod aims;
mod disturbed;
mod files;
mod import;
mod known_figures;
mod shipped;
mod synthetic;
