//! nginx as an intake: takes every POST, keeps its body in a file and answers 202.
//!
//! A child of the tests on a free port of 127.0.0.1, with everything it writes in a directory of
//! its own. It can be stopped and started again on the same port. What it answered is read back
//! from its access log and the files that the log names; the log is written once the answer is
//! sent, so what was not answered does not count.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{kill, killpg, Signal};
use serde_json::Value;

use crate::certificates::Certificate;
use crate::guard::id_of;
use crate::report::Failure;
use crate::scratch::{self, patience, wait_for};

/// Seconds for nginx to listen, and to end.
const SECONDS: u64 = 10;
/// More than the largest batch.
const LARGEST_BODY: &str = "64m";
const LOG: &str = "access.log";

/// One answered request.
#[derive(Debug)]
pub(crate) struct Received {
    /// `POST`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) uri: String,
    /// Names in small letters, with the values of those headers that are logged.
    pub(crate) headers: Value,
    /// As it was sent, perhaps compressed.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The value of one of the logged headers; empty when it was not sent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap_or_default()
    }
}

/// A running, or stopped, nginx.
pub(crate) struct Nginx {
    directory: PathBuf,
    port: u16,
    tls: bool,
    child: Option<Child>,
    read: u64,
}

impl Nginx {
    /// Starts one with plain HTTP, or with TLS and this certificate.
    pub(crate) fn start(certificate: Option<&Certificate>) -> Result<Nginx, Failure> {
        let directory = scratch::directory("nginx")?;
        fs::create_dir(directory.join("bodies"))?;
        let mut nginx = Nginx {
            port: free_port()?,
            tls: certificate.is_some(),
            child: None,
            read: 0,
            directory,
        };
        let text = configuration(&nginx.directory, nginx.port, certificate);
        fs::write(nginx.directory.join("nginx.conf"), text)?;
        nginx.resume()?;
        Ok(nginx)
    }

    /// Its URL, with `host` as name of this machine.
    pub(crate) fn url(&self, host: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{host}:{}", self.port)
    }

    /// Where it listens, or did.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Ends it; requests that it has not answered are cut.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let group = id_of(&child);
        // What the guard blocks stays blocked in programs that the tests start; this is not among it.
        kill(group, Signal::SIGQUIT)?;
        let ended = wait_for(patience(SECONDS), || child.try_wait().ok().flatten());
        if ended.is_none() {
            // Its own process group: there is nothing of others in it.
            let _ = killpg(group, Signal::SIGKILL);
            child.wait()?;
            return Err(Failure::Failed("nginx did not end by itself".to_owned()));
        }
        Ok(())
    }

    /// Starts it, again after a stop, on the same port.
    pub(crate) fn resume(&mut self) -> Result<(), Failure> {
        let errors = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("stderr"))?;
        // One that was killed has left it, and nginx does not take its place.
        let _ = fs::remove_file(self.directory.join("answer.sock"));
        let mut command = Command::new(binary()?);
        command
            .arg("-p")
            .arg(&self.directory)
            .args(["-c", "nginx.conf"])
            // How the guard finds what is left when the tests are killed.
            .env("DD_RUN_PATH", &self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        let address = self.address();
        let child = self.child.insert(command.spawn()?);
        let up = wait_for(patience(SECONDS), || {
            let ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
            let up = !ended && TcpStream::connect(address).is_ok();
            (ended || up).then_some(up)
        });
        if up == Some(true) {
            return Ok(());
        }
        let said = |name| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        Err(Failure::Failed(format!(
            "nginx does not listen: {} {}",
            said("stderr"),
            said("error.log")
        )))
    }

    /// What it answered since the last time this was asked; the files of the bodies are removed.
    pub(crate) fn take_received(&mut self) -> Result<Vec<Received>, Failure> {
        let mut log = match fs::File::open(self.directory.join(LOG)) {
            Ok(log) => BufReader::new(log),
            Err(_) => return Ok(Vec::new()),
        };
        log.seek(SeekFrom::Start(self.read))?;
        let mut all = Vec::new();
        let mut line = String::new();
        while log.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += line.len() as u64;
            if let Some(request) = read_entry(&line)? {
                all.push(request);
            }
            line.clear();
        }
        Ok(all)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = killpg(id_of(&child), Signal::SIGKILL);
            let _ = child.wait();
        }
    }
}

/// `None` for a request without a body, and for one that was not answered with 202.
fn read_entry(line: &str) -> Result<Option<Received>, Failure> {
    let entry: Value = serde_json::from_str(line)?;
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let file = text("file");
    if file.is_empty() || entry["status"] != 202 {
        return Ok(None);
    }
    let body = fs::read(&file)?;
    fs::remove_file(&file)?;
    Ok(Some(Received {
        method: text("method"),
        uri: text("uri"),
        headers: entry["headers"].clone(),
        body,
    }))
}

/// A port that is free now; the tests own the machine's loopback enough for that to be good.
fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// The one that was unpacked for the tests, otherwise one that is installed.
fn binary() -> Result<PathBuf, Failure> {
    if scratch::in_vm() {
        let sentence = "the virtual machine has no nginx";
        return Err(Failure::NotApplicable(sentence.to_owned()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|directory| directory.join("nginx"));
    [
        scratch::tool("nginx/usr/sbin/nginx"),
        PathBuf::from("/usr/sbin/nginx"),
    ]
    .into_iter()
    .chain(installed)
    .find(|path| path.is_file())
    .ok_or_else(|| Failure::Skipped("there is no nginx; `make setup-test` brings it".to_owned()))
}

/// One process, which keeps its environment readable and needs nobody to look after it. The body is
/// read because it is for another server, the one behind the unix socket, which does not want it.
fn configuration(directory: &Path, port: u16, certificate: Option<&Certificate>) -> String {
    let directory = directory.display();
    let (word, certificate) = match certificate {
        None => ("", String::new()),
        Some(Certificate { certificate, key }) => (
            " ssl",
            format!(
                "ssl_certificate {};\n    ssl_certificate_key {};",
                certificate.display(),
                key.display()
            ),
        ),
    };
    format!(
        r#"daemon off;
master_process off;
user root;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format requests escape=json '{{"method":"$request_method","uri":"$request_uri",'
    '"status":$status,"file":"$request_body_file","headers":{{'
    '"dd-api-key":"$http_dd_api_key","content-type":"$content_type",'
    '"content-encoding":"$http_content_encoding","dd-evp-origin":"$http_dd_evp_origin",'
    '"dd-evp-origin-version":"$http_dd_evp_origin_version","user-agent":"$http_user_agent"}}}}';
  access_log off;
  client_body_temp_path {directory}/bodies;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port}{word};
    {certificate}
    access_log {directory}/{LOG} requests;
    client_max_body_size {LARGEST_BODY};
    client_body_in_file_only on;
    location / {{
      proxy_pass http://unix:{directory}/answer.sock;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
  }}
  server {{
    listen unix:{directory}/answer.sock;
    return 202;
  }}
}}
"#
    )
}
