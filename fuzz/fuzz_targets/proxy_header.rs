//! Arbitrary bytes as a PROXY protocol header: read or refused, and what was read does not depend on what follows.
#![no_main]

use connex::smtp::proxy::{Header, LONGEST, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read(data) {
        Ok(Header::Whole { length, client }) => {
            assert!(length <= data.len() && length <= LONGEST);
            assert_eq!(read(&data[..length]), Ok(Header::Whole { length, client }));
            assert_eq!(read(&data[..length - 1]), Ok(Header::Incomplete));
        }
        Ok(Header::Incomplete) => assert!(data.len() < LONGEST),
        Err(_) => {}
    }
});
