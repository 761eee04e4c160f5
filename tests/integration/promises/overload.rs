//! Too much load, retries, the breaker and the sockets (P50–P62).
