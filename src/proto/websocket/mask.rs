//! Masking: RFC 6455, section 5.3. It keeps a page from writing bytes of its choice to a cache that
//! takes them for something else, and is no encryption.

/// Masks a piece of a payload, or takes its mask off, which is the same. `offset` says how many
/// bytes of the payload come before.
pub fn apply(data: &mut [u8], key: [u8; 4], offset: usize) {
    let key = rotated(key, offset);
    let wide = u32::from_ne_bytes(key);
    let mut words = data.chunks_exact_mut(4);
    for word in &mut words {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(word);
        word.copy_from_slice(&(u32::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The key as it is met after so many bytes.
const fn rotated([a, b, c, d]: [u8; 4], offset: usize) -> [u8; 4] {
    match offset % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_it_is_byte_by_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).collect();
                let slowly = plain.iter().zip(key.iter().cycle().skip(offset));
                let slowly: Vec<u8> = slowly.map(|(byte, key)| byte ^ key).collect();
                let mut data = plain.clone();
                apply(&mut data, key, offset);
                assert_eq!(data, slowly, "{length} bytes from {offset}");
                apply(&mut data, key, offset);
                assert_eq!(data, plain);
            }
        }
    }
}
