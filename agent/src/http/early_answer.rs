//! Answers that come before everything was sent.
//!
//! A server that refuses a long body answers at once and closes the connection; what is then still
//! sent fails, although the answer has arrived. So a connection that breaks while it is written to
//! stays open for reading: the rest is thrown away, the answer is read when it is there, and what
//! reading says is the error when it is not. This lies below TLS, which could read nothing more
//! otherwise. [`Broken`] tells the body's reader that it can stop.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Whether the connection that was made last takes nothing any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<AtomicBool>);

impl Broken {
    fn set(&self, is_broken: bool) {
        self.0.store(is_broken, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Wraps connections.
#[derive(Debug)]
pub(super) struct EarlyAnswer(pub(super) Broken);

impl<In: Transport> Connector<In> for EarlyAnswer {
    type Out = Readable<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Readable<In>>, ureq::Error> {
        self.0.set(false);
        Ok(chained.map(|inner| Readable {
            inner,
            broken: self.0.clone(),
        }))
    }
}

/// A connection that can be read when it can no longer be written to.
#[derive(Debug)]
pub(super) struct Readable<In: Transport> {
    inner: In,
    broken: Broken,
}

impl<In: Transport> Transport for Readable<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.broken.is_set() {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(ureq::Error::Io(error)) if is_closed(&error) => {
                self.broken.set(true);
                Ok(())
            }
            result => result,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.broken.is_set() && self.inner.is_open()
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

/// A body that ends when the connection takes nothing any more.
pub(super) struct UntilBroken<'a> {
    pub(super) body: &'a mut dyn io::Read,
    pub(super) broken: Broken,
}

impl io::Read for UntilBroken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.broken.is_set() {
            true => Ok(0),
            false => self.body.read(buffer),
        }
    }
}
