//! P75–P77: what of a request stays here and what goes up, where it goes, and HTTP as the specification has it.

use super::Nest;

mod elsewhere;
mod headers;
mod protocol;
