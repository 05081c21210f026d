//! What one run of a cell measured, and the line of text that carries it from the process that ran it.

/// The figures of a row's lines, in their order. Less is better in all of them.
#[derive(Debug, Clone)]
pub(crate) struct Sample(pub(crate) Vec<f64>);

impl Sample {
    /// Quantiles of single waits behind what all of them took.
    pub(crate) fn with_latencies(mut self, mut waits_ns: Vec<u64>) -> Self {
        waits_ns.sort_unstable();
        let under = |share: f64| waits_ns[((waits_ns.len() as f64 * share) as usize).min(waits_ns.len() - 1)] as f64;
        self.0.extend([under(0.5), under(0.99), under(0.999)]);
        self
    }

    /// What the device was told to write, a record, behind the quantiles.
    pub(crate) fn with_device_bytes(mut self, bytes: Option<f64>) -> Self {
        self.0.push(bytes.unwrap_or(f64::NAN));
        self
    }

    pub(crate) fn to_line(&self) -> String {
        self.0.iter().map(|figure| format!("{figure} ")).collect()
    }

    /// None if it is no such line.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let figures: Option<Vec<f64>> = line.split_whitespace().map(|figure| figure.parse().ok()).collect();
        figures.filter(|figures| !figures.is_empty()).map(Self)
    }
}

/// The median of each figure.
pub(crate) fn median(samples: &[Sample]) -> Option<Sample> {
    let first = samples.first()?;
    let of = |at: usize| {
        let mut figures: Vec<f64> = samples.iter().map(|sample| sample.0[at]).collect();
        figures.sort_by(f64::total_cmp);
        f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
    };
    Some(Sample((0..first.0.len()).map(of).collect()))
}
