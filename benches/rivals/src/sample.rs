//! What one run of a cell measured, and the line of text that carries it from the process that ran it.

/// Nanoseconds a record, or of the whole where a row has one thing to do: by the clock, and of all threads of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Sample {
    pub(crate) fn to_line(self) -> String {
        format!("{} {}", self.wall, self.cpu)
    }

    /// None if it is no such line.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (wall, cpu) = line.trim().split_once(' ')?;
        Some(Self { wall: wall.parse().ok()?, cpu: cpu.parse().ok()? })
    }
}
