//! Clients that take too long, too many connections or too much room (P70–P73).
