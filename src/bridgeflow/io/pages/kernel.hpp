// What the Python binding (native.cpp) hands to a kernel (kernel.cpp, compiled once per instruction set).
#pragma once

#include "../../signal/native/types.hpp"

namespace bridgeflow::pages {

struct Kernel {
    const char* name;
    bool (*supported)();

    // CRC-32 as zlib has it, of data that follow what `crc` is of.
    std::uint32_t (*crc32)(std::uint32_t crc, const std::uint8_t* data, index nbytes);

    // Values [first, first + count) out of `all`, whose bytes k lie together at streams + k * all; `width` bytes each.
    void (*join_streams)(const std::uint8_t* streams, index all, index first, index count, int width, std::uint8_t* out);

    // The low `to` bytes (1 or 2) of integers of four bytes, which need not be aligned.
    void (*narrow)(const std::uint8_t* values, index count, int to, std::uint8_t* out);

    // Numbers of `bits` bits (0 to 32) each, side by side from the lowest bit of the first byte on, of which the first is number
    // `first`. Reads no byte at or after `end`.
    void (*unpack)(const std::uint8_t* packed, const std::uint8_t* end, int bits, index first, index count, std::uint32_t* out);

    // dictionary[indices[i]], of `width` bytes (1, 2, 4 or 8); false, and nothing written, where an index is not below `size`.
    bool (*look_up)(const std::uint32_t* indices, index count, const std::uint8_t* dictionary, index size, int width,
                    std::uint8_t* out);
};

}  // namespace bridgeflow::pages
