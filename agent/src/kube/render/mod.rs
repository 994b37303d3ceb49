//! Manifests for those without helm or an operator.
