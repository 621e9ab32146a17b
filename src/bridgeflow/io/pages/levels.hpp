// Levels of a page, verified run by run: that every list is full and no value is null.
#pragma once

#include "bytes.hpp"

#include <cstdint>
#include <vector>

namespace bridgeflow::pages {

// Levels as numbers of a few bits that repeat after a number of values, in words that begin at any value.
class Pattern {
    std::vector<u8> packed;
    u64 period = 1;
    int bits = 0;

public:
    Pattern() = default;

    template <class LevelAt>
    Pattern(u64 period, int bits, const LevelAt& level_at) : packed(((period + 64) * u64(bits)) / 8 + 9), period(period), bits(bits) {
        for (u64 value = 0; value < period + 64; ++value) {
            const u64 bit = value * u64(bits), word = u64(level_at(value % period)) << bit % 8;
            for (u64 byte = 0; byte * 8 < bit % 8 + u64(bits); ++byte) packed[bit / 8 + byte] |= u8(word >> 8 * byte);
        }
    }

    // Whether numbers packed side by side are those of the pattern from value `first` on.
    bool is(const u8* from, const u8* end, u64 first, u64 count) const {
        const u64 step = u64(48 / bits / 8) * 8;  // whole bytes, and no more than a word holds at any place
        first %= period;
        while (count > 0) {
            const u64 now = count < step ? count : step, bytes = (now * u64(bits) + 7) / 8;
            const u64 mask = (u64(1) << now * u64(bits)) - 1;
            const u64 word = end - from >= 8 ? little_endian(from, 8) : little_endian(from, int(bytes));
            const u64 bit = first * u64(bits), expected = little_endian(&packed[bit / 8], 8) >> bit % 8;
            if ((word ^ expected) & mask) return false;
            from += bytes, count -= now, first = (first + now) % period;
        }
        return true;
    }
};

inline int bit_width(u64 most) {
    int bits = 0;
    for (; most > 0; most >>= 1) ++bits;
    return bits;
}

// What the levels of a column are whose rows are lists of one shape and whose values are not null.
class Levels {
    std::vector<u64> sizes;  // of the lists in a row, from the outside in, without those of one element at the end
    u64 row = 1;
    int lists, most_rep, most_def;
    Pattern rep_pattern, def_pattern;

    int rep_at(u64 value) const {
        u64 length = 1;
        for (std::size_t depth = sizes.size(); depth > 0; --depth) {
            length *= sizes[depth - 1];
            if (value % length != 0) return int(depth);
        }
        return 0;
    }

    // Whether `count` values from `first` on all have this repetition level.
    bool all_repeat_at(u64 level, u64 first, u64 count) const {
        if (level == sizes.size()) {
            if (sizes.empty()) return true;
            const u64 within = first % sizes.back();
            return within != 0 && count <= sizes.back() - within;
        }
        // Any other level: of two neighbours one is within an innermost list.
        return count == 1 && rep_at(first) == int(level);
    }

    template <class IsRun>
    static void verify(Bytes runs, int bits, const Pattern& pattern, u64 first, u64 count, const IsRun& is_run) {
        while (count > 0) {
            const u64 head = runs.varint();
            u64 length;
            bool fits;
            if (head & 1) {
                const u64 groups = head >> 1;
                if (groups == 0 || groups > u64(runs.left())) irregular("a run of levels is cut off");
                const Bytes packed = runs.take(groups * u64(bits));
                length = 8 * groups < count ? 8 * groups : count;
                fits = pattern.is(packed.at, packed.end, first, length);
            } else {
                const u64 level = runs.fixed((bits + 7) / 8);
                length = head >> 1;
                if (length == 0) irregular("a run of no levels");
                if (length > count) length = count;
                fits = is_run(level, first, length);
            }
            if (!fits) irregular("a list is not full, or a value is null");
            first += length, count -= length;
        }
    }

public:
    static constexpr u64 longest_row = 1 << 25;

    // Throws std::invalid_argument for rows that are too long, and levels that do not fit the lists.
    Levels(const std::vector<index>& shape, int most_rep, int most_def)
        : lists(int(shape.size())), most_rep(most_rep), most_def(most_def) {
        for (const index size : shape) {
            if (size < 1 || u64(size) > longest_row / row) throw std::invalid_argument("rows that are too long");
            row *= u64(size);
            sizes.push_back(u64(size));
        }
        if (most_rep != lists || most_def < 0 || most_rep > 100 || most_def > 100) throw std::invalid_argument("levels of other lists");
        while (!sizes.empty() && sizes.back() == 1) sizes.pop_back();
        if (most_rep > 0) rep_pattern = Pattern(row, bit_width(u64(most_rep)), [&](u64 value) { return rep_at(value); });
        if (most_def > 0) def_pattern = Pattern(1, bit_width(u64(most_def)), [&](u64) { return most_def; });
    }

    u64 row_length() const { return row; }
    bool repeats() const { return most_rep > 0; }
    bool defines() const { return most_def > 0; }

    void verify_rep(Bytes runs, u64 first, u64 count) const {
        verify(runs, bit_width(u64(most_rep)), rep_pattern, first, count,
               [&](u64 level, u64 from, u64 length) { return all_repeat_at(level, from, length); });
    }

    void verify_def(Bytes runs, u64 count) const {
        verify(runs, bit_width(u64(most_def)), def_pattern, 0, count, [&](u64 level, u64, u64) { return level == u64(most_def); });
    }
};

}  // namespace bridgeflow::pages
