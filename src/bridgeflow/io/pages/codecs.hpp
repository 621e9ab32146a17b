// Decompression into memory of a size that is known: false unless the input becomes exactly that.
//
// Snappy: https://github.com/google/snappy/blob/main/format_description.txt, LZ4:
// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
#pragma once

#include "bytes.hpp"

namespace bridgeflow::pages {

// Where output is written: literals and copies of what was written before.
class Output {
    u8* const begin;
    u8* at;
    u8* const end;

public:
    Output(u8* memory, index nbytes) : begin(memory), at(memory), end(memory + nbytes) {}

    bool full() const { return at == end; }

    bool literal(Bytes& from, u64 count) {
        if (count > u64(from.left()) || count > u64(end - at)) return false;
        if (count <= 16 && from.left() >= 16 && end - at >= 16) {
            std::memcpy(at, from.at, 16);
        } else {
            std::memcpy(at, from.at, count);
        }
        from.at += count, at += count;
        return true;
    }

    bool copy(u64 distance, u64 count) {
        if (distance == 0 || distance > u64(at - begin) || count > u64(end - at)) return false;
        const u8* from = at - distance;
        u8* const stop = at + count;
        if (u64(end - at) < count + 16) {  // near the end: no byte more than is asked for
            while (at < stop) *at++ = *from++;
            return true;
        }
        // The pattern written again at a multiple of its length, until a step of 16 bytes does not read what it writes.
        for (; distance < 16 && at < stop; distance *= 2) {
            u8 step[16];
            std::memcpy(step, from, 16);
            std::memcpy(at, step, 16);
            at += distance;
        }
        for (; at < stop; at += 16) {
            u8 step[16];
            std::memcpy(step, at - distance, 16);
            std::memcpy(at, step, 16);
        }
        at = stop;
        return true;
    }
};

inline bool decompress_snappy(Bytes in, u8* memory, index nbytes) {
    if (in.varint() != u64(nbytes)) return false;
    Output out(memory, nbytes);
    while (in.at < in.end) {
        const u8 tag = *in.at++;
        u64 length = (tag >> 2) + 1u;
        if ((tag & 3) == 0) {
            if (length > 60) {
                const int more = int(length) - 60;
                if (in.left() < more) return false;
                length = little_endian(in.at, more) + 1;
                in.at += more;
            }
            if (!out.literal(in, length)) return false;
            continue;
        }
        const int more = (tag & 3) == 3 ? 4 : tag & 3;
        if (in.left() < more) return false;
        u64 distance = little_endian(in.at, more);
        in.at += more;
        if ((tag & 3) == 1) {
            length = (tag >> 2 & 7) + 4u;
            distance |= u64(tag >> 5) << 8;
        }
        if (!out.copy(distance, length)) return false;
    }
    return out.full();
}

inline bool decompress_lz4(Bytes in, u8* memory, index nbytes) {
    Output out(memory, nbytes);
    const auto length_of = [&](u64 length) {
        if (length == 15) {
            for (u8 more = 255; more == 255;) length += more = in.byte();
        }
        return length;
    };
    for (;;) {
        const u8 token = in.byte();
        if (!out.literal(in, length_of(token >> 4))) return false;
        if (in.at == in.end) return out.full();  // the last sequence has literals alone
        const u64 distance = in.fixed(2);
        if (!out.copy(distance, length_of(token & 15) + 4)) return false;
    }
}

}  // namespace bridgeflow::pages
