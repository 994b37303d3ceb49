//! Starts what talks in the namespaces of the tests ([`crate::traffic`]) and reads what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::finished::finish;
use crate::net_places::Namespace;
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{self, patience, wait_for};
use crate::traffic::{READY, WORD};

/// Seconds for a sender to end, and for one that goes on to say what is waited for.
const SECONDS: u64 = 60;

/// What one of them printed.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its process.
    pub(crate) pid: i64,
    words: String,
}

impl Said {
    fn parse(line: &str) -> Result<Said, Failure> {
        let words = line.trim().to_owned();
        let said = Said { pid: 0, words };
        let pid = said.number("pid")?;
        Ok(Said { pid, ..said })
    }

    /// The value of `name=value`; empty when it did not say that.
    pub(crate) fn text(&self, name: &str) -> &str {
        let mut words = self.words.split_whitespace();
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    }

    /// The same as a number.
    pub(crate) fn number(&self, name: &str) -> Result<i64, Failure> {
        let number = self.text(name).parse();
        number.map_err(|_| Failure::Failed(format!("no number `{name}` in `{}`", self.words)))
    }
}

fn command(namespace: &Namespace, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([WORD, namespace.name()])
        .args(arguments)
        // How the guard finds what is left when the tests are killed.
        .env("DD_RUN_PATH", scratch::root().join("traffic"));
    Ok(command)
}

/// Runs a command to its end.
pub(crate) fn ask(namespace: &Namespace, arguments: &[&str]) -> Result<Said, Failure> {
    let finished = finish(command(namespace, arguments)?, patience(SECONDS))?;
    ensure(finished.code == Some(0), || {
        format!("`{}`: {}", arguments.join(" "), finished.said())
    })?;
    Said::parse(&finished.stdout)
}

/// One that goes on until it is told to end, or is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    /// Its process.
    pub(crate) pid: i64,
}

impl Server {
    /// Starts it and returns once it says that it is ready.
    pub(crate) fn start(namespace: &Namespace, arguments: &[&str]) -> Result<Server, Failure> {
        let mut child = command(namespace, arguments)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("a server without output")?;
        let mut server = Server {
            pid: i64::from(child.id()),
            lines: lines_of(output),
            child,
        };
        let line = server.line()?;
        ensure(line.starts_with(READY), || {
            format!("`{}` is not ready: {line}", arguments.join(" "))
        })?;
        Ok(server)
    }

    /// The next that it says.
    pub(crate) fn next(&mut self) -> Result<Said, Failure> {
        Said::parse(&self.line()?)
    }

    /// Whether it says nothing for so long.
    pub(crate) fn is_silent(&self, time: Duration) -> Outcome {
        match self.lines.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err("it has ended".into()),
            Ok(line) => Err(line.into()),
        }
    }

    /// Lets it end; returns the last that it said.
    pub(crate) fn end(mut self) -> Result<Said, Failure> {
        drop(self.child.stdin.take());
        self.next()
    }

    fn line(&mut self) -> Result<String, Failure> {
        let limit = patience(SECONDS);
        self.lines.recv_timeout(limit).map_err(|_| {
            let mut complaint = String::new();
            // It may still be there, and say nothing on this side either.
            let _ = self.child.kill();
            if let Some(mut errors) = self.child.stderr.take() {
                let _ = errors.read_to_string(&mut complaint);
            }
            let limit = limit.as_secs();
            Failure::Failed(format!(
                "process {} said nothing for {limit} s or ended: {complaint}",
                self.pid
            ))
        })
    }
}

/// The lines of a stream, as they come.
fn lines_of(stream: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut read = BufReader::new(stream).lines().map_while(Result::ok);
        while read.next().is_some_and(|line| sender.send(line).is_ok()) {}
    });
    lines
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if wait_for(patience(5), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_names() {
        let said = Said::parse("pid=12 port=4 answer=fd00::1\n").unwrap();
        assert_eq!((said.pid, said.number("port").ok()), (12, Some(4)));
        assert_eq!((said.text("answer"), said.text("po")), ("fd00::1", ""));
        assert!(Said::parse("no number").is_err());
    }
}
