//! What operators rely on (P91–P98).

mod clocks;
mod drain;
mod health;
mod idle;
mod settings;
