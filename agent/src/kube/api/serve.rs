//! The process that asks the API server, so that a slow one never holds up the webhook.
//!
//! The [`Pool`](super::Pool) starts it on demand, writes a [`Job`] as a line of JSON to its standard
//! input and gets a line `[outcome, "sentence"]` back. It ends when its input ends, when its parent
//! dies, and when nothing was asked for 30 seconds.

use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::prepare;
use crate::http::serve::{hold_signals, read_line, IDLE};
use crate::kube::job::Job;
use crate::sys::process;

/// `kube-worker`: does jobs until its input ends.
pub fn run() -> io::Result<()> {
    process::die_with_parent();
    let _signals = hold_signals()?;
    serve(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn serve(socket: UnixStream) -> io::Result<()> {
    socket.set_read_timeout(Some(IDLE))?;
    let mut output = socket.try_clone()?;
    let mut input = BufReader::new(socket);
    while let Some(line) = read_line(&mut input)? {
        let job: Job = serde_json::from_slice(&line)?;
        let mut line = serde_json::to_vec(&prepare::prepare(&job))?;
        line.push(b'\n');
        output.write_all(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, Read};

    #[test]
    fn each_line_is_answered_with_a_line() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || serve(theirs));
        let job = r#"{"namespace":"shop","pod":"..","container":"","mode":"InitContainer",
            "mutate_unlabelled":false,"timeout":{"secs":1,"nanos":0}}"#;
        let line = job.replace('\n', "") + "\n";
        let mut output = ours.try_clone().unwrap();
        let mut input = BufReader::new(ours);
        for _ in 0..2 {
            output.write_all(line.as_bytes()).unwrap();
            let mut answer = String::new();
            input.read_line(&mut answer).unwrap();
            let start = r#"[{"Skip":"DescribePod"},"the namespace"#;
            assert!(answer.starts_with(start), "{answer}");
        }
        output.write_all(b"no job\n").unwrap();
        assert!(server.join().unwrap().is_err());
        assert_eq!(input.read(&mut [0]).unwrap(), 0);
    }
}
