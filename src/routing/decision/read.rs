//! A record of a decision as it is read again.
