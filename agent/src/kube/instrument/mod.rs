//! The helper in pods: it is set up, hands a session to the probes and becomes the user's command.
