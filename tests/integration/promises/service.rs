//! The service and its input (P01–P05).
