//! Asking a relay's operator's interface: one plain HTTP request for one JSON answer.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::AdminArgs;
use crate::exit::{Exit, Failure};

/// Beyond what a trace over the longest path takes.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer: a mesh of a thousand nodes with all their links.
const MAX_ANSWER: u64 = 64 << 20;

/// Where to ask, and with what.
#[derive(Debug)]
pub struct Admin<'a> {
    address: &'a str,
    token: Option<&'a str>,
}

impl<'a> Admin<'a> {
    /// As the flags say.
    #[must_use]
    pub fn new(args: &'a AdminArgs) -> Self {
        Self {
            address: &args.admin,
            token: args.admin_token.as_deref(),
        }
    }

    /// The answer to `path`.
    ///
    /// # Errors
    /// Nobody answers there, or not so; each with what to try.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let text = timeout(PATIENCE, self.exchange(path))
            .await
            .map_err(|_elapsed| self.failed(Exit::Connect, "does not answer in time"))?
            .map_err(|error| self.unreachable(&error))?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| self.no_relay())?;
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .ok_or_else(|| self.no_relay())?;
        match status {
            "200" => serde_json::from_str(body).map_err(|_other| self.no_relay()),
            "401" if self.token.is_none() => Err(self.failed(
                Exit::Refused,
                "asks for a token: give its admin_token with --admin-token or HEADWATER_ADMIN_TOKEN",
            )),
            "401" => Err(self.failed(
                Exit::Refused,
                "does not take this token: give its admin_token with --admin-token",
            )),
            _ => Err(self.refused(status, body)),
        }
    }

    async fn exchange(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        let token = self
            .token
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn failed(&self, exit: Exit, what: &str) -> Failure {
        Failure::say(
            exit,
            format!("the relay's admin interface at {} {what}", self.address),
        )
    }

    fn no_relay(&self) -> Failure {
        let text = format!(
            "what answers at {} is no relay's admin interface; check --admin",
            self.address
        );
        Failure::say(Exit::Connect, text)
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let text = format!(
            "no relay answers at {} ({error}): is it running, with its admin interface there? Else give --admin",
            self.address
        );
        Failure::say(Exit::Connect, text)
    }

    /// What the relay says, without the number before it.
    fn refused(&self, status: &str, body: &str) -> Failure {
        let said = body.trim();
        let said = said
            .strip_prefix(status)
            .map_or(said, |rest| rest.trim_start_matches(':').trim());
        let exit = if status == "400" {
            Exit::Usage
        } else {
            Exit::Refused
        };
        Failure::say(exit, said)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// What `moq` says to one who answers so.
    async fn told(answer: &'static str, token: Option<&str>) -> (Exit, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let args = AdminArgs {
            admin: listener.local_addr().unwrap().to_string(),
            admin_token: token.map(str::to_owned),
            json: false,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 1024];
            let length = stream.read(&mut seen).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            seen.truncate(length);
            String::from_utf8(seen).unwrap()
        });
        let failure = Admin::new(&args)
            .get::<serde_json::Value>("/x")
            .await
            .unwrap_err();
        let request = tasks.join_next().await.unwrap().unwrap();
        assert_eq!(
            request.contains("Authorization: Bearer"),
            token.is_some(),
            "{request}"
        );
        (failure.exit(), failure.to_string())
    }

    #[tokio::test]
    async fn each_failure_is_a_sentence_that_says_what_to_try() {
        for (answer, token, exit, part) in [
            (
                "HTTP/1.1 401 x\r\n\r\n401: no\n",
                None,
                Exit::Refused,
                "asks for a token",
            ),
            (
                "HTTP/1.1 401 x\r\n\r\n401: no\n",
                Some("wrong"),
                Exit::Refused,
                "this token",
            ),
            (
                "HTTP/1.1 404 x\r\n\r\n404: in no mesh\n",
                None,
                Exit::Refused,
                "in no mesh",
            ),
            (
                "HTTP/1.1 400 x\r\n\r\n400: bad name\n",
                None,
                Exit::Usage,
                "bad name",
            ),
            ("HTTP/1.1 200 x\r\n\r\n<html>", None, Exit::Connect, "--admin"),
            ("SSH-2.0\r\n", None, Exit::Connect, "--admin"),
        ] {
            let (found, text) = told(answer, token).await;
            assert!(found == exit && text.contains(part), "{answer}: {text}");
            // A port may have these digits too, but no colon follows one.
            assert!(!text.contains("404:") && !text.contains("400:"), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_the_address() {
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let args = AdminArgs {
            admin: free.to_string(),
            admin_token: None,
            json: false,
        };
        let failure = Admin::new(&args)
            .get::<serde_json::Value>("/x")
            .await
            .unwrap_err();
        assert_eq!(failure.exit(), Exit::Connect);
        let text = failure.to_string();
        assert!(
            text.contains(&free.to_string()) && text.contains("is it running"),
            "{text}"
        );
    }
}
