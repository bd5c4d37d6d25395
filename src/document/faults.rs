//! What is wrong with a text, and how much of it is told.

use std::collections::BTreeSet;
use std::fmt;

use super::ON_COMMAND_LINE;

/// The most faults that are told of one line, and in all.
const MOST_OF_A_LINE: usize = 5;
const MOST: usize = 40;

/// One thing wrong with a file: where, what, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The text it is in, as the user named it.
    pub label: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Everything wrong with one document, in the order of its lines; last what is wrong with values
/// that other texts have put in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// At least one fault.
    pub faults: Vec<Fault>,
}

/// Faults of several readings of much the same values: what two of them say stands once.
#[derive(Clone, Debug, Default)]
pub struct FaultSet(BTreeSet<Fault>);

impl Fault {
    fn place(&self) -> (&str, usize) {
        (&self.label, self.line)
    }

    /// `manifest.toml:3`, or what was given on the command line.
    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, line, .. } = self;
        if label.starts_with(ON_COMMAND_LINE) {
            f.write_str(label)
        } else {
            write!(f, "{label}:{line}")
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_line(f)?;
        if !self.label.starts_with(ON_COMMAND_LINE) {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl fmt::Display for Faults {
    /// Writes a fault a line, and its hint below. Of many only the first are told, the others
    /// counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut told, mut untold) = (0, 0);
        for group in self.faults.chunk_by(|a, b| a.place() == b.place()) {
            let some = group.len().min(MOST_OF_A_LINE).min(MOST - told);
            for fault in &group[..some] {
                let separator = if told == 0 { "" } else { "\n" };
                write!(f, "{separator}{fault}")?;
                told += 1;
            }
            let more = group.len() - some;
            if more > 0 && some > 0 {
                f.write_str("\n")?;
                group[0].write_line(f)?;
                write!(f, ": and {more} more in this line")?;
            } else {
                untold += more;
            }
        }
        if untold > 0 { write!(f, "\nand {untold} more faults") } else { Ok(()) }
    }
}

impl From<Box<Fault>> for Faults {
    fn from(fault: Box<Fault>) -> Self {
        Self { faults: vec![*fault] }
    }
}

impl FaultSet {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0.insert(fault);
    }

    /// Adds several.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.0.extend(faults);
    }

    /// Adds all of another.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Adds what is wrong, if something is, and returns the value otherwise.
    pub fn settle<T>(&mut self, read: Result<T, Faults>) -> Option<T> {
        read.map_err(|faults| self.extend(faults.faults)).ok()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns nothing when there is no fault.
    ///
    /// # Errors
    ///
    /// All faults, as [`all`](Self::all) has them.
    pub fn finish(self, first: &str) -> Result<(), Faults> {
        if self.is_empty() { Ok(()) } else { Err(self.all(first)) }
    }

    /// Returns all faults by text and line, those of the text that is called `first` first.
    pub fn all(self, first: &str) -> Faults {
        let (mut faults, others): (Vec<Fault>, Vec<Fault>) =
            self.0.into_iter().partition(|fault| fault.label == first);
        faults.extend(others);
        Faults { faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(label: &str, line: usize, number: usize) -> Fault {
        let message = format!("m{number:03}");
        Fault { label: label.to_owned(), line, column: 1, message, hint: None }
    }

    #[test]
    fn what_two_readings_say_stands_once_and_the_first_text_comes_first() {
        let mut set = FaultSet::default();
        set.extend([fault("a", 2, 0), fault("z", 3, 1), fault("z", 1, 2)]);
        set.add(fault("z", 3, 1));
        let told = set.finish("z").unwrap_err().to_string();
        assert_eq!(told, "z:1:1: m002\nz:3:1: m001\na:2:1: m000");
        assert_eq!(FaultSet::default().finish("z"), Ok(()));
    }

    #[test]
    fn of_many_faults_some_are_told_and_all_counted() {
        let line = (0..7).map(|number| fault("a", 4, number)).collect();
        let told = Faults { faults: line }.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[4..], ["a:4:1: m004", "a:4: and 2 more in this line"]);
        let lines = (0..50).map(|line| fault("a", line, line)).collect();
        let told = Faults { faults: lines }.to_string();
        assert_eq!(told.lines().count(), 41);
        assert!(told.ends_with("a:39:1: m039\nand 10 more faults"), "{told}");
    }
}
