//! Tests of requests against servers on 127.0.0.1.
