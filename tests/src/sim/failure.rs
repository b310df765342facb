//! A failure, and the one line that brings it back.

use std::fmt;

use super::fate::Fate;
use super::plan::{Pin, from_hex, to_hex};
use super::profile::Setup;

/// What went wrong, before it is known where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A short class: equal for equal bugs, so that shrinking stays on one.
    pub class: &'static str,
    /// What exactly.
    pub what: String,
}

impl Problem {
    /// A problem of a class.
    pub fn new(class: &'static str, what: impl Into<String>) -> Self {
        Self { class, what: what.into() }
    }
}

/// Everything that is needed to run one case again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// The engine: `ember` or `toy`.
    pub engine: String,
    /// The seeded bug, if any.
    pub bug: Option<String>,
    /// Setup and operations.
    pub tape: Vec<u8>,
    /// The exploration.
    pub plan: Vec<u8>,
    /// Crashes; empty explores all.
    pub pins: Vec<Pin>,
}

/// A failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub problem: Problem,
    /// Where.
    pub case: Case,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[{}] {}", self.problem.class, self.problem.what)?;
        write!(f, "{}", self.case.line())
    }
}

impl std::error::Error for Failure {}

impl Case {
    /// The replay line.
    #[must_use]
    pub fn line(&self) -> String {
        let join =
            |parts: Vec<String>| if parts.is_empty() { "all".to_owned() } else { parts.join("/") };
        let profile = Setup::decode(&self.tape).profile.name;
        let crash =
            join(self.pins.iter().map(|pin| format!("{}.{}", pin.session, pin.op)).collect());
        let sigma = join(self.pins.iter().map(|pin| print_fates(&pin.fates)).collect());
        let then = join(self.pins.iter().map(|pin| to_hex(&pin.then)).collect());
        format!(
            "SIM v1 engine={} bug={} profile={profile} tape={} plan={} crash={crash} sigma={sigma} then={then}",
            self.engine,
            self.bug.as_deref().unwrap_or("none"),
            to_hex(&self.tape),
            to_hex(&self.plan),
        )
    }

    /// Parses a replay line.
    ///
    /// # Errors
    /// The part that is not understood.
    pub fn parse(line: &str) -> Result<Self, String> {
        let rest =
            line.trim().strip_prefix("SIM v1 ").ok_or("not a line that starts with `SIM v1 `")?;
        let mut case = Self::default();
        let (mut crash, mut sigma, mut then) = ("all", "all", "all");
        for field in rest.split_whitespace() {
            let (name, value) =
                field.split_once('=').ok_or_else(|| format!("not name=value: {field}"))?;
            let hex = || from_hex(value).ok_or_else(|| format!("not hexadecimal: {field}"));
            match name {
                "engine" => value.clone_into(&mut case.engine),
                "bug" => case.bug = (value != "none").then(|| value.to_owned()),
                "profile" => {}
                "tape" => case.tape = hex()?,
                "plan" => case.plan = hex()?,
                "crash" => crash = value,
                "sigma" => sigma = value,
                "then" => then = value,
                _ => return Err(format!("unknown field: {field}")),
            }
        }
        if crash != "all" {
            let mut sigmas = sigma.split('/');
            let mut thens = then.split('/');
            for place in crash.split('/') {
                let bad = || format!("bad crash, sigma or then at {place}");
                let (session, op) = place.split_once('.').ok_or_else(bad)?;
                case.pins.push(Pin {
                    session: session.parse().map_err(|_| bad())?,
                    op: op.parse().map_err(|_| bad())?,
                    fates: sigmas.next().and_then(Fate::parse_all).ok_or_else(bad)?,
                    then: thens.next().and_then(from_hex).ok_or_else(bad)?,
                });
            }
        }
        Ok(case)
    }
}

fn print_fates(fates: &[Fate]) -> String {
    let mut out = String::new();
    for fate in fates {
        fate.print(&mut out);
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::{Case, Fate, Pin};

    #[test]
    fn a_replay_line_is_read_back() {
        let case = Case {
            engine: "toy".to_owned(),
            bug: Some("NoChain".to_owned()),
            tape: vec![4, 0, 0, 1, 2],
            plan: vec![3],
            pins: vec![
                Pin {
                    session: 0,
                    op: 17,
                    fates: vec![Fate::Full, Fate::Prefix(31)],
                    then: vec![9, 8],
                },
                Pin { session: 1, op: 2, fates: vec![], then: vec![] },
            ],
        };
        assert_eq!(Case::parse(&case.line()), Ok(case));
    }
}
