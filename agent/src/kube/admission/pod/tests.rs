//! Pods before and after.
