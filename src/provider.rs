//! The table of providers: name to dialect, base URL, authentication. Data, not code; which keys a config has for one
//! is `config`'s.
