//! `tidelog offsets <dir> schema` and `migrate`: which version the tables of a place have, and the way to another one. Reads no position.

use serde_json::json;
use tidelog::SchemaMigration;

use super::tables::{Tables, version};
use crate::exit::{Exit, Failure};
use crate::output::{Results, time};

#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// Which: sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE")]
    store: Tables,
    /// Print one JSON object: {"version":6,"latest":6,"migrations":[{"version":1,"description":..,"applied_at_ns":..}, ..]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// Which: sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE")]
    store: Tables,
    /// The version to go to, up or down; 0 has no tables.
    #[arg(long, value_name = "VERSION")]
    to: u32,
    /// Print the steps, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn schema(args: &SchemaArgs) -> Result<Exit, Failure> {
    let all = args.store.migrations()?;
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "version": version(&all), "latest": all.len(), "migrations": all.iter().map(as_json).collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    results.line(&format!("{}: version {} of {}", args.store, version(&all), all.len()))?;
    for SchemaMigration { version, description, applied_at } in &all {
        let applied = applied_at.map_or_else(|| "not applied".to_owned(), |at| format!("applied {}", time(at.get())));
        results.line(&format!("{version}  {description}  {applied}"))?;
    }
    Ok(Exit::Done)
}

pub(crate) fn migrate(args: &MigrateArgs) -> Result<Exit, Failure> {
    let all = args.store.migrations()?;
    let (found, wanted) = (version(&all), args.to as usize);
    if wanted > all.len() {
        return Err(Failure::new(Exit::Usage, format!("there is no version {wanted} of the schema: the newest is {}", all.len())));
    }
    if !args.dry_run {
        args.store.migrate(args.to)?;
    }
    let mut results = Results::default();
    for step in all.get(found..wanted).unwrap_or_default() {
        results.line(&format!("up    {}  {}", step.version, step.description))?;
    }
    for step in all.get(wanted..found).unwrap_or_default().iter().rev() {
        results.line(&format!("down  {}  {}", step.version, step.description))?;
    }
    let is_lossy = if wanted < found { "; what the older version has no place for is deleted" } else { "" };
    results.line(&match args.dry_run {
        true => format!("{}: version {found}, would be {wanted}{is_lossy}; nothing was changed", args.store),
        false => format!("{}: version {found}, now {wanted}", args.store),
    })?;
    Ok(Exit::Done)
}

fn as_json(migration: &SchemaMigration) -> serde_json::Value {
    json!({ "version": migration.version, "description": migration.description, "applied_at_ns": migration.applied_at.map(|at| at.get()) })
}
