//! The admission webhook: HTTPS, reviews in, patches out.
