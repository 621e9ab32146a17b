// Headers of pages, in Thrift's compact protocol (https://parquet.apache.org/docs/file-format/data-pages).
#pragma once

#include "bytes.hpp"

namespace bridgeflow::pages {

// A page, as 13 int64 in a table that Python keeps; its last two fields are set here when a page is checked first.
enum Field : int {
    kind,        // by the numbers of the format: 0 of version 1, 2 a dictionary, 3 of version 2
    at,          // where in the file what follows the header begins
    packed,      // its bytes in the file
    unpacked,    // its bytes when it is decompressed
    crc,         // its checksum, -1 for none
    first,       // values of the column chunk before it
    count,       // values in it
    encoding,
    rep_nbytes,  // of version 2: bytes of its levels
    def_nbytes,
    compressed,  // of version 2: whether its values are
    values_at,   // where its values begin after the header, or after decompression; -1 until levels were verified
    verified,    // whether its checksum was
    fields,
};

struct Header {
    std::int64_t of[fields] = {-1, 0, -1, -1, -1, 0, -1, -1, 0, 0, 1, -1, 0};
    bool levels_are_runs = true;
    std::int64_t nulls = 0, rows = -1;
};

class HeaderReader {
    Bytes bytes;

    enum Type : u8 { stop, yes, no, byte, i16, i32, i64, real, binary, list, set, map, structure };

    static constexpr int deepest = 32;

    std::int64_t integer() {
        const u64 value = bytes.varint();
        return std::int64_t(value >> 1) ^ -std::int64_t(value & 1);
    }

    void skip(u8 type, int depth, bool element) {
        if (depth > deepest) irregular("a header is nested too deeply");
        if (type == yes || type == no) {
            if (element) bytes.byte();
        } else if (type == byte) {
            bytes.byte();
        } else if (type >= i16 && type <= i64) {
            bytes.varint();
        } else if (type == real) {
            bytes.take(8);
        } else if (type == binary) {
            bytes.take(bytes.varint());
        } else if (type == list || type == set) {
            const u8 head = bytes.byte();
            const u64 size = head >> 4 == 15 ? bytes.varint() : head >> 4;
            for (u64 i = 0; i < size; ++i) skip(head & 15, depth + 1, true);
        } else if (type == map) {
            const u64 size = bytes.varint();
            const u8 types = size ? bytes.byte() : 0;
            for (u64 i = 0; i < size; ++i) skip(types >> 4, depth + 1, true), skip(types & 15, depth + 1, true);
        } else if (type == structure) {
            each_field([&](int, u8 inner) { skip(inner, depth + 1, false); });
        } else {
            irregular("a header has a value of no type");
        }
    }

    // Calls take(number, type) for each field, which consumes its value.
    template <class Take>
    void each_field(const Take& take) {
        int number = 0;
        for (u8 head = bytes.byte(); head != stop; head = bytes.byte()) {
            number = head >> 4 ? number + (head >> 4) : int(integer());
            take(number, u8(head & 15));
        }
    }

    void whole(std::int64_t& into, u8 type) {
        if (type != i32) irregular("a header has another type");
        into = integer();
    }

    void data_page(Header& header, int of_kind) {
        const bool second = of_kind == 3;
        std::int64_t ignored, levels[2] = {3, 3};
        each_field([&](int number, u8 type) {
            if (number == 1) return whole(header.of[count], type);
            if (number == (second ? 4 : 2)) return whole(header.of[encoding], type);
            if (second && number == 2) return whole(header.nulls, type);
            if (second && number == 3) return whole(header.rows, type);
            if (second && number == 5) return whole(header.of[def_nbytes], type);
            if (second && number == 6) return whole(header.of[rep_nbytes], type);
            if (second && number == 7) {
                if (type != yes && type != no) irregular("a header has another type");
                header.of[compressed] = type == yes;
                return;
            }
            if (!second && (number == 3 || number == 4)) return whole(of_kind == 0 ? levels[number - 3] : ignored, type);
            skip(type, 1, false);
        });
        header.levels_are_runs = levels[0] == 3 && levels[1] == 3;
    }

public:
    explicit HeaderReader(Bytes bytes) : bytes(bytes) {}

    const u8* position() const { return bytes.at; }

    // The next header. Throws `Irregular` where it ends within, too.
    Header read() {
        Header header;
        int described = -1;
        each_field([&](int number, u8 type) {
            if (number == 1) return whole(header.of[kind], type);
            if (number == 2) return whole(header.of[unpacked], type);
            if (number == 3) return whole(header.of[packed], type);
            if (number == 4) {
                std::int64_t value;
                whole(value, type);
                header.of[crc] = std::int64_t(u32(value));
                return;
            }
            if (number == 5 || number == 7 || number == 8) {
                if (type != structure || described >= 0) irregular("a header describes two pages");
                described = number == 5 ? 0 : number == 7 ? 2 : 3;
                if (described != 2) return data_page(header, described);
                each_field([&](int inner, u8 inner_type) {
                    if (inner == 1) return whole(header.of[count], inner_type);
                    if (inner == 2) return whole(header.of[encoding], inner_type);
                    skip(inner_type, 1, false);
                });
                return;
            }
            skip(type, 0, false);
        });
        if (described < 0 || described != header.of[kind]) irregular("a header describes no page of its kind");
        return header;
    }
};

}  // namespace bridgeflow::pages
