// Bytes of unknown origin: read within their bounds or not at all.
#pragma once

#include "../../signal/native/types.hpp"

#include <cstring>
#include <stdexcept>

namespace bridgeflow::pages {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// A page that is not as it should be, or not of the kind that is decoded here.
struct Irregular : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] inline void irregular(const char* what) { throw Irregular(what); }

inline u64 little_endian(const u8* from, int count) {
    u64 value = 0;
    for (int byte = 0; byte < count; ++byte) value |= u64(from[byte]) << 8 * byte;
    return value;
}

// Bytes from `at` to `end`, taken from the front.
struct Bytes {
    const u8* at;
    const u8* end;

    index left() const { return end - at; }

    u8 byte() {
        if (at == end) irregular("a value is cut off");
        return *at++;
    }

    Bytes take(u64 count) {
        if (count > u64(left())) irregular("a value is cut off");
        const Bytes taken{at, at + count};
        at += count;
        return taken;
    }

    u64 fixed(int count) { return little_endian(take(u64(count)).at, count); }

    // Seven bits a byte, the lowest first.
    u64 varint() {
        u64 value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const u8 next = byte();
            value |= u64(next & 127) << shift;
            if (next < 128) return value;
        }
        irregular("a number does not end");
    }
};

}  // namespace bridgeflow::pages
