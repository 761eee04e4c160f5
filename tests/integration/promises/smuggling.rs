//! Requests that two servers could read in two ways (P74).
