//! One Parquet file without offsets: what its footer says, its times, and its row groups opened for reading. Decides no order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit as ArrowUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use crate::export::import_error::ImportError;
use crate::export::import_file::{SeamReader, failure, guarded, load, refused};
use crate::export::schema::OFFSET;
use crate::export::target::Target;
use crate::export::time_column::TimeStep;
use crate::export::timed::columns::{Chosen, TimedColumns};
use crate::export::timed::files::{FoundFile, hive_columns};

/// A file, and what its footer says of it. The footer itself is read again when rows are.
#[derive(Debug)]
pub(super) struct TimedFile {
    /// Its path below the place that is imported: what tells it from the others, and orders rows of one time.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// CRC-32 of the footer.
    pub(super) footer_crc: u32,
    pub(super) chosen: Chosen,
    /// The columns that its directories are named after and that it does not have itself.
    pub(super) hive: Vec<(String, Option<String>)>,
    /// Those that have rows.
    pub(super) groups: Vec<TimedGroup>,
}

/// A row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimedGroup {
    pub(super) index: usize,
    /// Number in the file of its first row.
    pub(super) first_row: u64,
    pub(super) rows: u64,
    /// Least and greatest time in nanoseconds.
    pub(super) min: i64,
    pub(super) max: i64,
    /// What is read of it, uncompressed.
    pub(super) bytes: u64,
    /// The most of it that decoders hold while it is read in portions.
    pub(super) decoder_bytes: u64,
}

/// The file as it was found, before it is known whether it is one without offsets.
pub(super) enum Look {
    WithOffsets,
    Without(Box<Result<TimedFile, ImportError>>),
}

/// What a row group's times are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) is_sorted: bool,
    /// How many of them were asked for.
    pub(super) counted: u64,
}

impl TimedFile {
    /// Reads the footer, and the times that it does not tell. A file that has offsets is only told from the others.
    pub(super) fn look(target: &dyn Target, found: FoundFile, columns: &TimedColumns) -> Result<Look, ImportError> {
        let opened = OpenedFile::open(target, &found.path)?;
        if opened.metadata.schema().index_of(OFFSET).is_ok() {
            return Ok(Look::WithOffsets);
        }
        Ok(Look::Without(Box::new(Self::of(&opened, found, columns))))
    }

    fn of(opened: &OpenedFile, found: FoundFile, columns: &TimedColumns) -> Result<Self, ImportError> {
        let FoundFile { name, path } = found;
        let mut hive = hive_columns(&name);
        hive.retain(|(column, _)| opened.metadata.schema().index_of(column).is_err());
        let schema = with_hive(opened.metadata.schema(), &hive);
        let chosen = columns.choose(&schema).map_err(|reason| ImportError::Columns { path: path.clone(), reason })?;
        if hive.iter().any(|(column, _)| *column == chosen.time) {
            let reason = format!("its column {} is only in the names of directories", chosen.time);
            return Err(ImportError::Columns { path, reason });
        }
        let footer = opened.metadata.metadata().clone();
        let mut file = Self { name, path, rows: 0, bytes: opened.input.len(), footer_crc: opened.footer_crc()?, chosen, hive, groups: Vec::new() };
        for (index, group) in footer.row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).map_err(|_| refused(&file.path, "a row group counts less than no row"))?;
            if rows > 0 {
                file.add_group(opened, &footer, index, rows)?;
            }
        }
        Ok(file)
    }

    fn add_group(&mut self, opened: &OpenedFile, footer: &ParquetMetaData, index: usize, rows: u64) -> Result<(), ImportError> {
        let group = footer.row_group(index);
        let read = |column: &&ColumnChunkMetaData| {
            let name = column.column_path().parts().first().map_or("", String::as_str);
            self.chosen.reads(name)
        };
        let sizes = || group.columns().iter().filter(read).map(|column| u64::try_from(column.uncompressed_size()).unwrap_or_default());
        let (bytes, decoder_bytes) = (sizes().fold(0, u64::saturating_add), sizes().map(|size| size.min(DECODER_BYTES)).sum());
        let first_row = self.rows;
        self.rows = first_row.checked_add(rows).ok_or_else(|| refused(&self.path, "it counts too many rows"))?;
        let mut found = TimedGroup { index, first_row, rows, min: i64::MIN, max: i64::MAX, bytes, decoder_bytes };
        (found.min, found.max) = match self.told_times(group) {
            Some(told) => told,
            None => {
                let times = self.times(opened, &found, &mut |_, _| false)?;
                (times.min, times.max)
            }
        };
        self.groups.push(found);
        Ok(())
    }

    /// Least and greatest time of a row group, if its statistics say them and that no time is missing.
    fn told_times(&self, group: &RowGroupMetaData) -> Option<(i64, i64)> {
        let column = group.columns().iter().find(|column| column.column_path().parts() == [self.chosen.time.as_str()])?;
        let statistics = column.statistics()?;
        if column.column_descr().max_def_level() > 0 && statistics.null_count_opt() != Some(0) {
            return None;
        }
        let (min, max) = match statistics {
            Statistics::Int64(values) => (*values.min_opt()?, *values.max_opt()?),
            Statistics::Int32(values) => (i64::from(*values.min_opt()?), i64::from(*values.max_opt()?)),
            _ => return None,
        };
        Some((self.chosen.step.nanos(min)?, self.chosen.step.nanos(max)?)).filter(|(min, max)| min <= max)
    }

    /// Reads the times of a row group, and refuses what is none. Counts the rows, given by their times and numbers in the file, that `is_counted`.
    pub(super) fn times(&self, opened: &OpenedFile, group: &TimedGroup, is_counted: &mut dyn FnMut(i64, u64) -> bool) -> Result<Times, ImportError> {
        if opened.is_int96(&self.chosen.time) {
            // In nanoseconds those that do not fit would wrap around.
            let micros = TimeStep::MICROS;
            let schema = opened.schema_in_micros(&self.chosen.time);
            let in_micros = opened.typed(schema)?;
            let unbounded = TimedGroup { min: i64::MIN, max: i64::MAX, ..*group };
            self.read_times(&in_micros, &unbounded, micros, &mut |_, _| false)?;
        }
        self.read_times(opened, group, self.chosen.step, is_counted)
    }

    fn read_times(
        &self,
        opened: &OpenedFile,
        group: &TimedGroup,
        step: TimeStep,
        is_counted: &mut dyn FnMut(i64, u64) -> bool,
    ) -> Result<Times, ImportError> {
        let mut reader = opened.group(group.index, 0, TIMES_ROWS, |name| name == self.chosen.time)?;
        let mut times = Times { min: i64::MAX, max: i64::MIN, is_sorted: true, counted: 0 };
        let (mut row, mut before) = (0, i64::MIN);
        while let Some(rows) = opened.next(&mut reader)? {
            let refused = |(at, reason)| ImportError::Row { path: self.path.clone(), row: group.first_row + row + at as u64, reason };
            for (at, time) in step.all_nanos(rows.column(0)).map_err(refused)?.into_iter().enumerate() {
                times.is_sorted &= before <= time;
                before = time;
                (times.min, times.max) = (times.min.min(time), times.max.max(time));
                times.counted += u64::from(is_counted(time, group.first_row + row + at as u64));
            }
            row += rows.num_rows() as u64;
        }
        if row != group.rows {
            return Err(refused(&self.path, format!("row group {} has {row} rows, {} were expected", group.index, group.rows)));
        }
        if times.min < group.min || times.max > group.max {
            let TimedGroup { index, min, max, .. } = group;
            let reason =
                format!("row group {index} has times of {} to {} ns, and its statistics say {min} to {max}: they are wrong", times.min, times.max);
            return Err(refused(&self.path, reason));
        }
        Ok(times)
    }

    /// Opens it for its rows.
    pub(super) fn open(&self, target: &dyn Target) -> Result<OpenedFile, ImportError> {
        let opened = OpenedFile::open(target, &self.path)?;
        if self.chosen.value.is_some() {
            return Ok(opened);
        }
        // JSON is written without a table of zones; that of a file is always UTC.
        let fields = opened.metadata.schema().fields().iter().map(with_plain_zone);
        opened.typed(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// The least time in it; none in an empty file.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.groups.iter().map(|group| group.min).min()
    }
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct OpenedFile {
    input: SeamReader,
    metadata: ArrowReaderMetadata,
    path: PathBuf,
}

impl OpenedFile {
    pub(super) fn open(target: &dyn Target, path: &Path) -> Result<Self, ImportError> {
        let input = SeamReader::open(target, path)?;
        let metadata = guarded(path, || load(&input, path))?;
        Ok(Self { input, metadata, path: path.to_owned() })
    }

    /// The same file, read with other types.
    fn typed(&self, schema: SchemaRef) -> Result<Self, ImportError> {
        guarded(&self.path, || {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema);
            let metadata = ArrowReaderMetadata::try_new(self.metadata.metadata().clone(), options).map_err(|error| failure(&self.path, error))?;
            Ok(Self { input: self.input.clone(), metadata, path: self.path.clone() })
        })
    }

    /// The rows of a row group from its row `from` on, `portion` at a time, of the top columns that `is_read`.
    pub(super) fn group(
        &self,
        index: usize,
        from: u64,
        portion: usize,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<ParquetRecordBatchReader, ImportError> {
        guarded(&self.path, || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.clone(), self.metadata.clone());
            let fields = self.metadata.schema().fields().iter().enumerate();
            let roots: Vec<usize> = fields.filter(|(_, field)| is_read(field.name())).map(|(at, _)| at).collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            let builder = builder.with_projection(mask).with_row_groups(vec![index]).with_batch_size(portion).with_offset(from as usize);
            builder.build().map_err(|error| failure(&self.path, error))
        })
    }

    /// The next rows of a reader of this file.
    pub(super) fn next(&self, reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, ImportError> {
        guarded(&self.path, || reader.next().transpose().map_err(|error| self.input.failure(&self.path, error.into())))
    }

    fn footer_crc(&self) -> Result<u32, ImportError> {
        let bytes = |from, len| self.input.get_bytes(from, len).map_err(|error| failure(&self.path, error));
        let end = self.input.len().saturating_sub(FOOTER_TAIL_BYTES);
        let tail = bytes(end, FOOTER_TAIL_BYTES as usize)?;
        let len = tail.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        Ok(crc32fast::hash(&bytes(end.saturating_sub(len.into()), len as usize)?))
    }

    fn is_int96(&self, name: &str) -> bool {
        let columns = self.metadata.parquet_schema().columns();
        columns.iter().any(|column| column.path().parts() == [name] && column.physical_type() == Physical::INT96)
    }

    fn schema_in_micros(&self, name: &str) -> SchemaRef {
        let micros = |field: &Arc<Field>| match field.data_type() {
            DataType::Timestamp(ArrowUnit::Nanosecond, zone) if field.name() == name => {
                Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(ArrowUnit::Microsecond, zone.clone())))
            }
            _ => field.clone(),
        };
        let schema = self.metadata.schema();
        Arc::new(Schema::new(schema.fields().iter().map(micros).collect::<Vec<_>>()))
    }
}

/// The columns of a file and of its directories.
fn with_hive(schema: &Schema, hive: &[(String, Option<String>)]) -> Schema {
    let own = schema.fields().iter().cloned();
    let more = hive.iter().map(|(name, _)| Arc::new(Field::new(name, DataType::Utf8, true)));
    Schema::new(own.chain(more).collect::<Vec<_>>())
}

/// A column whose times have their zone as an offset.
fn with_plain_zone(field: &FieldRef) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(with_plain_zone).collect()),
        DataType::List(item) => DataType::List(with_plain_zone(item)),
        DataType::Map(entries, is_sorted) => DataType::Map(with_plain_zone(entries), *is_sorted),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// A dictionary and a page of a column, as writers cut them.
const DECODER_BYTES: u64 = 2 << 20;
const TIMES_ROWS: usize = 8192;
/// The length of the footer, and the magic number.
const FOOTER_TAIL_BYTES: u64 = 8;
