//! Plain http through a proxy: the request goes to the proxy with the whole URL in its first line.
//!
//! ureq asks every proxy for a tunnel (CONNECT), which proxies as a rule grant to port 443 only.
//! So http URLs get a resolver that answers with the proxy's addresses, and a connector that puts
//! scheme and host of the target before the path of each request (RFC 9112, section 3.2.2).

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Resolves the proxy's name, whatever is asked for.
#[derive(Debug)]
pub(super) struct ProxyResolver {
    pub(super) proxy: Uri,
}

impl Resolver for ProxyResolver {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        DefaultResolver::default().resolve(&self.proxy, config, timeout)
    }
}

/// Wraps a connection to the proxy.
#[derive(Debug)]
pub(super) struct AbsoluteForm;

impl<In: Transport> Connector<In> for AbsoluteForm {
    type Out = Rewriting<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Rewriting<In>>, ureq::Error> {
        let authority = details.uri.authority().map_or("", |one| one.as_str());
        // User and password go into a header, not into the first line.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        Ok(chained.map(|inner| Rewriting {
            inner,
            target: format!("http://{host}"),
            is_first: true,
        }))
    }
}

/// A connection that rewrites the first line of each request.
#[derive(Debug)]
pub(super) struct Rewriting<In: Transport> {
    inner: In,
    target: String,
    /// What is written next begins a request: requests and answers take turns, so that is what
    /// comes first and what comes after an answer was read.
    is_first: bool,
}

impl<In: Transport> Rewriting<In> {
    fn write(&mut self, mut bytes: &[u8], timeout: NextTimeout) -> Result<(), ureq::Error> {
        while !bytes.is_empty() {
            let room = self.inner.buffers().output();
            let amount = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(amount);
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.inner.transmit_output(amount, timeout)?;
            bytes = later;
        }
        Ok(())
    }
}

impl<In: Transport> Transport for Rewriting<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if !self.is_first {
            return self.inner.transmit_output(amount, timeout);
        }
        let written = self.inner.buffers().output().get(..amount).unwrap_or(&[]);
        let Some(space) = written.iter().position(|byte| *byte == b' ') else {
            return self.inner.transmit_output(amount, timeout);
        };
        let (method, rest) = written.split_at(space + 1);
        let rewritten = [method, self.target.as_bytes(), rest].concat();
        self.is_first = false;
        self.write(&rewritten, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.is_first = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
