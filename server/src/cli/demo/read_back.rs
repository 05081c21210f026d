//! Reads the offsets back from exported files, through the Parquet crate and not through anything of the export.

use std::fs::File;
use std::path::Path;

use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::exit::{Exit, Failure};

/// What the files hold, in two figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) rows: u64,
    pub(super) offsets: u128,
}

impl Sums {
    /// Adds the rows of one file.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::because(Exit::Failed, format!("reading {}", path.display()), error);
        let file = File::open(path).map_err(|error| Failure::because(Exit::Failed, format!("opening {}", path.display()), error))?;
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        self.add_rows(&reader).map_err(failed)
    }

    fn add_rows(&mut self, reader: &SerializedFileReader<File>) -> Result<(), ParquetError> {
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let column = columns.iter().position(|column| column.path().string() == "_offset");
        let column = column.ok_or_else(|| ParquetError::General("there is no column _offset".to_owned()))?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let ColumnReader::Int64ColumnReader(mut offsets) = group.get_column_reader(column)? else {
                return Err(ParquetError::General("the column _offset is not of INT64".to_owned()));
            };
            let mut page = Vec::with_capacity(ROWS_A_READ);
            loop {
                page.clear();
                let (rows, _, _) = offsets.read_records(ROWS_A_READ, None, None, &mut page)?;
                if rows == 0 {
                    break;
                }
                self.rows += rows as u64;
                // A negative offset would be wrong, and makes the sum so.
                self.offsets += page.iter().map(|offset| u128::from(offset.cast_unsigned())).sum::<u128>();
            }
        }
        Ok(())
    }
}

const ROWS_A_READ: usize = 4096;
