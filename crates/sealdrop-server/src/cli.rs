//! What the operator says: flags, then environment, then a file, then defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use sealdrop_core::key::BoxKey;
use sealdrop_server::{Config, Tls};
use serde::Deserialize;

const AFTER_HELP: &str = "\
Examples:
  sealdrop-server --data /var/lib/sealdrop --box sdbox1…
      Serves the box on 127.0.0.1:8080, for an onion service or a proxy that adds TLS.
  sealdrop-server --data DIR --box sdbox1… --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
      Serves TLS itself.

The box is public: `sealdrop-desk init` prints it. Once the server runs, `sealdrop-desk publish` gives it its
first roster; until then it accepts no drop. Behind a proxy, let it pass request bodies through unbuffered, and
write no access log.

Each flag can stand in the file of --config, under its name: `data = \"/var/lib/sealdrop\"`.
What the server keeps, and what it never does, stands in docs/operations.md.";

/// Sealdrop's server: accepts sealed reports that it cannot read, and keeps a log of them that it cannot rewrite.
#[derive(Parser)]
#[command(name = "sealdrop-server", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(hide = true)]
    Man,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The data folder; made if it does not exist, readable by its owner alone.
    #[arg(long, value_name = "DIR", env = "SEALDROP_DATA")]
    data: Option<PathBuf>,
    /// The box to serve, `sdbox1…`. Only rosters signed by its key are taken.
    #[arg(long = "box", value_name = "BOX", env = "SEALDROP_BOX")]
    box_key: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "SEALDROP_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where the operator's `GET /healthz` is [default: nowhere].
    #[arg(long, value_name = "ADDR", env = "SEALDROP_OPS")]
    ops: Option<SocketAddr>,
    /// Serve TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", env = "SEALDROP_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", env = "SEALDROP_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The most bytes that drops may take, such as 500M or 20G [default: all but 64 MiB of the disk].
    #[arg(long, value_name = "SIZE", env = "SEALDROP_MAX_STORE")]
    max_store: Option<String>,
    /// How many drops may be on their way in at the same time [default: 256].
    #[arg(long, value_name = "N", env = "SEALDROP_MAX_UPLOADS")]
    max_uploads: Option<usize>,
    /// A TOML file with any of these settings.
    #[arg(long, value_name = "FILE", env = "SEALDROP_CONFIG")]
    config: Option<PathBuf>,
    /// Print the ready message as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The file of `--config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    data: Option<PathBuf>,
    #[serde(rename = "box")]
    box_key: Option<String>,
    listen: Option<SocketAddr>,
    ops: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    max_store: Option<String>,
    max_uploads: Option<usize>,
}

impl Serve {
    /// The configuration. Every error is a mistake of the operator's, and says which.
    pub(crate) fn into_config(self) -> anyhow::Result<Config> {
        let file = match &self.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!(
                        "cannot read {}. Give the path of a TOML file with --config",
                        path.display()
                    )
                })?;
                toml::from_str(&text).with_context(|| {
                    format!(
                        "{} is not a configuration of sealdrop-server",
                        path.display()
                    )
                })?
            }
        };
        let Some(data) = self.data.or(file.data) else {
            bail!("no data folder. Give one with --data DIR");
        };
        let Some(text) = self.box_key.or(file.box_key) else {
            bail!("no box. Give the one that `sealdrop-desk init` printed, with --box sdbox1…");
        };
        let box_key = BoxKey::parse(&text).with_context(|| {
            let hint = if text.contains('#') {
                "give only what follows the `#` of the address"
            } else {
                "copy it again from `sealdrop-desk address`"
            };
            format!("`--box` is not a box: {hint}")
        })?;
        let mut config = Config::new(data, box_key);
        if let Some(listen) = self.listen.or(file.listen) {
            config.listen = listen;
        }
        config.ops_listen = self.ops.or(file.ops);
        config.tls = match (
            self.tls_cert.or(file.tls_cert),
            self.tls_key.or(file.tls_key),
        ) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            _ => bail!("--tls-cert and --tls-key go together. Give both, or neither"),
        };
        if let Some(text) = self.max_store.or(file.max_store) {
            let Some(bytes) = parse_size(&text) else {
                bail!("`--max-store {text}` is not a size. Write it as 500M or 20G");
            };
            config.limits.max_store = Some(bytes);
        }
        if let Some(uploads) = self.max_uploads.or(file.max_uploads) {
            if uploads == 0 {
                bail!("`--max-uploads 0` would accept nothing. Give 1 or more");
            }
            config.limits.max_uploads = uploads;
            // Those who read, and those whose head has not come yet, need places too.
            config.limits.max_connections =
                config.limits.max_connections.max(uploads.saturating_mul(4));
        }
        Ok(config)
    }
}

/// Bytes, with `K`, `M`, `G` or `T` for powers of 1,024.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("500M", Some(500 << 20)),
            ("20GiB", Some(20 << 30)),
            ("M", None),
            ("1.5G", None),
            ("-1", None),
            ("99999999999T", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
