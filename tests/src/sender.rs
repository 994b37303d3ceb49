//! Starts what talks in the namespaces of the tests ([`crate::traffic`]) and reads what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::finished::finish;
use crate::net_places::Namespace;
use crate::report::{ensure, Failure};
use crate::scratch::{self, patience, wait_for};
use crate::traffic::{READY, WORD};

/// Seconds for a sender to end.
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
    output: BufReader<ChildStdout>,
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
        let pid = i64::from(child.id());
        let mut server = Server {
            child,
            output: BufReader::new(output),
            pid,
        };
        let mut line = String::new();
        server.output.read_line(&mut line)?;
        if line.starts_with(READY) {
            return Ok(server);
        }
        let mut complaint = String::new();
        if let Some(mut errors) = server.child.stderr.take() {
            errors.read_to_string(&mut complaint)?;
        }
        Err(Failure::Failed(format!(
            "`{}` is not ready: {line}{complaint}",
            arguments.join(" ")
        )))
    }

    /// The next that it says; it says something in bounded time.
    pub(crate) fn next(&mut self) -> Result<Said, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Said::parse(&line)
    }

    /// Lets it end; returns the last that it said.
    pub(crate) fn end(mut self) -> Result<Said, Failure> {
        drop(self.child.stdin.take());
        self.next()
    }
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
