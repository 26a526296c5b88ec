//! Objects of the gossip track: refused, or read as records that are written and read again the same.

#![no_main]

use bytes::Bytes;
use headwater_relay::overlay::message::{
    AliasReader, AliasWriter, Fit, MAX_OBJECT, ObjectReader, ObjectWriter, Record,
};
use libfuzzer_sys::fuzz_target;

/// The records up to the first that is refused.
fn read(aliases: &mut AliasReader, object: Bytes) -> Vec<Record> {
    let mut records = Vec::new();
    if let Ok(mut reader) = ObjectReader::new(aliases, object) {
        while let Ok(Some(record)) = reader.poll() {
            records.push(record);
        }
    }
    records
}

fuzz_target!(|data: &[u8]| {
    let (mut theirs, mut writer, mut reader) = (
        AliasReader::default(),
        AliasWriter::default(),
        AliasReader::default(),
    );
    // Two objects, so that aliases of the first matter to the second.
    let middle = data.len() / 2;
    for half in [&data[..middle], &data[middle..]] {
        for record in read(&mut theirs, Bytes::copy_from_slice(half)) {
            let mut object = ObjectWriter::new(&mut writer, MAX_OBJECT);
            // In other aliases a record may be longer than it was, but no input is near the limit.
            assert_eq!(object.push(&record), Ok(Fit::In));
            assert_eq!(read(&mut reader, object.finish()), [record]);
        }
    }
});
