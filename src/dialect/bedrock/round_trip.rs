//! What Converse can say comes back as it was.
