//! The page for people, as browsers get it.

mod files;
