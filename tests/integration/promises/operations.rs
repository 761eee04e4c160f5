//! What operators rely on (P91–P98).
