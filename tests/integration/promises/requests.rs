//! Where requests go and what they carry (P75–P77).
