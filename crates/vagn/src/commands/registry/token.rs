//! `vagn token`: tokens of people and programs.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use vagn_registry::Role;

use super::table::{self, Column, minute};
use super::{RegistryArgs, life, ms, text};
use crate::config::Span;
use crate::control::ControlRequest;

/// Flags of `vagn token`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  vagn token add eva --role operate --person --data-dir /var/lib/vagn\n  \
vagn token add importer --role ingest --expires 30d --json\n  vagn token list\n  vagn token revoke eva\n\n\
While no token was ever made or set, an API on loopback is open; once one was, it stays closed. Only a hash of a token is kept: it is shown \
once, when it is made.\n\n\
Exit codes: 0 done; 1 refused, or the registry cannot be used; 64 wrong usage; 69 the service or the \
data directory was busy for 10 s, or the service cannot be asked."
)]
pub(in crate::commands) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token.
    Add(AddArgs),
    /// List the tokens, those that have ended too.
    List(ListArgs),
    /// Revoke a token, and end its sessions.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn token add eva --role operate --person\n  \
vagn token add console --role operate --on-behalf\n  vagn token add importer --role ingest --expires 30d")]
struct AddArgs {
    /// Name, under which deeds are recorded. It is used once.
    name: Box<str>,
    /// What its holder may do.
    #[arg(long)]
    role: RoleWord,
    /// A person holds it: it may acknowledge and resolve incidents.
    #[arg(long, conflicts_with = "on_behalf")]
    person: bool,
    /// A trusted console holds it: `by` in its requests names the person.
    #[arg(long)]
    on_behalf: bool,
    /// Time until it ends, such as 30d, 12h or 60s [default: never].
    #[arg(long, value_name = "TIME", value_parser = life)]
    expires: Option<Span>,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name.
    name: Box<str>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Words of `--role`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleWord {
    /// The live fleet, coarse.
    Latest,
    /// The live fleet, incidents and the trail, exactly.
    Read,
    /// And act on incidents.
    Operate,
    /// Send reports, and nothing else.
    Ingest,
    /// Everything.
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Latest => Self::Latest,
            RoleWord::Read => Self::Read,
            RoleWord::Operate => Self::Operate,
            RoleWord::Ingest => Self::Ingest,
            RoleWord::Admin => Self::Admin,
        }
    }
}

const COLUMNS: [Column; 6] = [
    ("NAME", 20, |token| text(token, "name").to_owned()),
    ("ROLE", 8, |token| text(token, "role").to_owned()),
    ("HELD BY", 9, holder),
    ("ADDED", 16, |token| minute(token, "added_at")),
    ("EXPIRES", 16, |token| minute(token, "expires_at")),
    ("STATE", 0, |token| text(token, "state").replace('_', " ")),
];

/// Changes or lists the tokens.
///
/// # Errors
/// When it is refused, or the registry cannot be used.
pub(in crate::commands) fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        TokenCommand::Add(AddArgs { name, role, person, on_behalf, expires, registry }) => {
            let request = ControlRequest::TokenAdd {
                name,
                role: role.into(),
                is_person: person,
                is_on_behalf: on_behalf,
                expires_in_ms: expires.map(ms),
            };
            registry.answer(&request, added)?;
        }
        TokenCommand::List(ListArgs { registry }) => {
            let none = "no token was made; make one with `vagn token add NAME --role ROLE`\n";
            table::print(&registry, &ControlRequest::TokenList {}, &COLUMNS, none)?;
        }
        TokenCommand::Revoke(RevokeArgs { name, registry }) => {
            registry.answer(&ControlRequest::TokenRevoke { name }, revoked)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn holder(token: &Value) -> String {
    match (token["person"].as_bool(), token["on_behalf"].as_bool()) {
        (Some(true), _) => "person".into(),
        (_, Some(true)) => "console".into(),
        _ => "program".into(),
    }
}

fn added(token: &Value) -> String {
    format!(
        "{} has a token with the role {}:\n  {secret}\n\
         It is shown this once. Keep it in a file that only its user can read, as the line\n  Authorization: Bearer {secret}\n\
         and try it:\n  {}\n",
        text(token, "name"),
        text(token, "role"),
        trial(text(token, "role")),
        secret = text(token, "token"),
    )
}

/// Returns a command that a token with this role may do. The token is read from a file: others on the machine can read a command.
fn trial(role: &str) -> &'static str {
    match role {
        "ingest" => {
            "curl -k -H @FILE -H 'Content-Type: application/json' -d '{\"ID\":\"bus-7\",\"Lat\":30.27,\"Lon\":-97.74}' \
             https://localhost:9090/api/v1/positions"
        }
        _ => "curl -k -H @FILE 'https://localhost:9090/?lat=30.27&lon=-97.74'",
    }
}

fn revoked(token: &Value) -> String {
    format!(
        "The token {} is revoked: it opens nothing any more. Its name stays taken, as the trail has it.\n{}",
        text(token, "name"),
        left(&token["shares"]),
    )
}

/// Tells of links that were made with a token: they are for others, and last.
fn left(shares: &Value) -> String {
    let Some(numbers) = shares.as_array() else {
        return "Links that were made with it last; `vagn share list` shows whether there are any.\n"
            .to_owned();
    };
    match &numbers[..] {
        [] => String::new(),
        [number] => {
            format!("The link {number} was made with it, and lasts: `vagn share revoke {number}` ends it.\n")
        }
        [first, ..] => format!(
            "{} links were made with it, and last: `vagn share list` shows them by its name, and `vagn share revoke {first}` and so on ends them.\n",
            numbers.len(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_that_outlive_their_makers_token_are_told() {
        let said = |shares: Value| revoked(&json!({"name": "eva", "shares": shares}));
        assert_eq!(said(json!([])).lines().count(), 1);
        assert!(said(json!([7])).contains("`vagn share revoke 7` ends it"), "{}", said(json!([7])));
        let many = said(json!([7, 8, 9]));
        assert!(
            many.contains("3 links were made with it") && many.contains("`vagn share revoke 7`"),
            "{many}"
        );
        assert!(said(json!(null)).contains("`vagn share list`"));
    }
}
