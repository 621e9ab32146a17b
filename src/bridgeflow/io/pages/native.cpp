// The Python binding: headers walked, checksums and levels verified, values put where they belong (columns.py calls it).

#include "../../signal/native/binding.hpp"
#include "codecs.hpp"
#include "headers.hpp"
#include "kernel.hpp"
#include "levels.hpp"

#include <memory>

namespace bridgeflow::pages {

extern const Kernel kernel_avx512, kernel_avx2, kernel_baseline, kernel_wide;

namespace {

const Kernel* const kernels[] = BRIDGEFLOW_KERNELS;

constexpr int dictionary_page = 2, second_version = 3;
constexpr std::int64_t plain = 0, plain_dictionary = 2, runs_of_indices = 8, split_streams = 9;

Bytes bytes_of(const Buffer& buffer) {
    if (!buffer.contiguous()) throw nb::value_error("not contiguous");
    index nbytes = buffer.itemsize();
    for (int axis = 0; axis < buffer.ndim(); ++axis) nbytes *= buffer.size(axis);
    const u8* const begin = reinterpret_cast<const u8*>(buffer.data());
    return {begin, begin + nbytes};
}

// A matrix of int64 whose rows are of a length.
struct Table {
    std::int64_t* rows;
    index count;
    int length;

    Table(const Buffer& buffer, int length) : rows(reinterpret_cast<std::int64_t*>(buffer.data())), length(length) {
        if (buffer.ndim() != 2 || buffer.size(1) != length || buffer.itemsize() != 8 || !buffer.contiguous()) {
            throw nb::value_error("not a table of int64");
        }
        count = buffer.size(0);
    }

    std::int64_t* row(std::int64_t number) const {
        if (number < 0 || number >= count) throw nb::value_error("no such row");
        return rows + number * length;
    }
};

// Flags of pages that several threads may set at once, all of them to the same.
std::int64_t flag(const std::int64_t& of) { return __atomic_load_n(&of, __ATOMIC_ACQUIRE); }
void set_flag(std::int64_t& of, std::int64_t value) { __atomic_store_n(&of, value, __ATOMIC_RELEASE); }

// The pages of [position, end) of a file whose bytes from `base` on these are, as rows of `Field`, and where the walk ended: at
// `end`, or at the first header that is not whole here.
nb::tuple walk(nb::handle data_, std::int64_t base, std::int64_t position, std::int64_t end, std::int64_t most,
               std::int64_t always) {
    const Buffer buffer(data_, false);
    const Bytes data = bytes_of(buffer);
    std::vector<std::int64_t> table;
    std::int64_t values = 0;
    {
        const nb::gil_scoped_release released;
        while (position < end && position >= base && position - base < data.left()) {
            const u8* const from = data.at + (position - base);
            const index here = std::min<std::int64_t>(data.left() - (position - base), end - position);
            HeaderReader reader({from, from + here});
            Header header;
            try {
                header = reader.read();
            } catch (const Irregular&) {
                if (here == end - position) throw;
                break;
            }
            auto& of = header.of;
            of[at] = position + (reader.position() - from);
            if (of[packed] < 0 || of[packed] > end - of[at] || of[unpacked] < 0 || of[unpacked] > most * of[packed] + always) {
                irregular("a page of another size");
            }
            const bool is_dictionary = of[kind] == dictionary_page;
            if (of[count] < 0 || of[count] > (std::int64_t(1) << 40) || of[rep_nbytes] < 0 || of[def_nbytes] < 0 ||
                of[rep_nbytes] + of[def_nbytes] > std::min(of[packed], of[unpacked]) || !header.levels_are_runs || header.nulls != 0 ||
                (is_dictionary && !table.empty()) || (is_dictionary && of[count] > 8 * of[unpacked] + 8)) {
                irregular("a page of another kind");
            }
            of[first] = values;
            values += is_dictionary ? 0 : of[count];
            table.insert(table.end(), of, of + fields);
            position = of[at] + of[packed];
        }
    }
    const nb::bytes rows(table.data(), table.size() * sizeof(std::int64_t));
    return nb::make_tuple(rows, position);
}

std::uint32_t crc32(nb::handle data_, std::string_view isa) {
    const Kernel& kernel = kernel_named(kernels, isa);
    const Buffer buffer(data_, false);
    const Bytes data = bytes_of(buffer);
    const nb::gil_scoped_release released;
    return kernel.crc32(0, data.at, data.left());
}

bool decompress(std::string_view codec, nb::handle data_, nb::handle out_) {
    const Buffer buffer(data_, false), target(out_, true);
    const Bytes data = bytes_of(buffer), out = bytes_of(target);
    const bool is_snappy = codec == "snappy";
    if (!is_snappy && codec != "lz4") throw nb::value_error("no such codec");
    const nb::gil_scoped_release released;
    try {
        return (is_snappy ? decompress_snappy : decompress_lz4)(data, const_cast<u8*>(out.at), out.left());
    } catch (const Irregular&) {
        return false;
    }
}

// Memory for what is decoded by parts.
constexpr index part = 1024;

struct Dictionary {
    const u8* values = nullptr;
    index size = 0;
};

// The pages of a column: rows of one shape of numbers that take `stored` bytes in a page and `width` in memory.
class Column {
    Levels levels;
    int stored, width;

    Bytes verified_values(std::int64_t* page, Bytes payload, std::int64_t position) const {
        if (position < 0) {
            position = values_after_levels(page, payload);
            set_flag(page[values_at], position);
        }
        payload.take(u64(position));
        return payload;
    }

    std::int64_t values_after_levels(const std::int64_t* page, Bytes payload) const {
        const u8* const begin = payload.at;
        const u64 from = u64(page[first]), values = u64(page[count]);
        const bool second = page[kind] == second_version;
        if (levels.repeats()) {
            levels.verify_rep(payload.take(second ? u64(page[rep_nbytes]) : payload.fixed(4)), from, values);
        } else if (second) {
            payload.take(u64(page[rep_nbytes]));
        }
        if (levels.defines()) {
            levels.verify_def(payload.take(second ? u64(page[def_nbytes]) : payload.fixed(4)), values);
        } else if (second) {
            payload.take(u64(page[def_nbytes]));
        }
        return payload.at - begin;
    }

    void put_indices(const Kernel& kernel, Bytes values, index from, index length, const Dictionary& dictionary, u8* out) const {
        const int bits = values.byte();
        if (bits > 32) irregular("indices of more than 32 bits");
        u32 indices[part];
        const auto put = [&](index some) {
            if (!kernel.look_up(indices, some, dictionary.values, dictionary.size, width, out)) irregular("an index beyond its dictionary");
            out += some * width;
        };
        for (index position = 0; length > 0;) {  // position: of the run that comes next
            const u64 head = values.varint();
            if (head >> 1 == 0 || head >> 1 > u64(1) << 40) irregular("a run of no indices");
            const bool is_packed = head & 1;
            const index run = is_packed ? index(head >> 1) * 8 : index(head >> 1);
            const Bytes held = values.take(is_packed ? u64(head >> 1) * u64(bits) : u64(bits + 7) / 8);
            index skipped = std::max<index>(from - position, 0);
            for (; skipped < run && length > 0;) {
                const index some = std::min({run - skipped, length, part});
                if (is_packed) {
                    kernel.unpack(held.at, held.end, bits, skipped, some, indices);
                } else {
                    std::fill(indices, indices + some, u32(little_endian(held.at, int(held.left()))));
                }
                put(some);
                skipped += some, length -= some;
            }
            position += run;
        }
    }

    void put_streams(const Kernel& kernel, Bytes values, index all, index from, index length, u8* out) const {
        if (stored == width) return kernel.join_streams(values.at, all, from, length, stored, out);
        u8 whole[4 * part];
        for (index done = 0; done < length; done += part) {
            const index some = std::min(part, length - done);
            kernel.join_streams(values.at, all, from + done, some, 4, whole);
            kernel.narrow(whole, some, width, out + done * width);
        }
    }

    void put_values(const Kernel& kernel, const std::int64_t* page, Bytes values, index from, index length,
                    const Dictionary& dictionary, u8* out) const {
        const index all = page[count];
        const std::int64_t how = page[encoding];
        if (how == runs_of_indices || how == plain_dictionary) return put_indices(kernel, values, from, length, dictionary, out);
        if (how != plain && how != split_streams) irregular("an encoding that is not decoded here");
        if (all > values.left() / stored || (how == split_streams && all * stored != values.left())) {
            irregular("values that are cut off");
        }
        if (how == split_streams) return put_streams(kernel, values, all, from, length, out);
        const u8* const begin = values.at + from * stored;
        if (stored == width) {
            std::memcpy(out, begin, std::size_t(length * width));
        } else {
            kernel.narrow(begin, length, width, out);
        }
    }

public:
    Column(const std::vector<index>& shape, int most_rep, int most_def, int stored, int width)
        : levels(shape, most_rep, most_def), stored(stored), width(width) {
        const bool narrowed = stored == 4 && (width == 1 || width == 2);
        if (!narrowed && (stored != width || (width != 1 && width != 2 && width != 4 && width != 8))) {
            throw std::invalid_argument("numbers of another size");
        }
    }

    // Verify the levels of a page of version 2 whose values alone are compressed: `payload` is what the file holds.
    void check_levels(nb::handle table_, std::int64_t number, nb::handle payload_) const {
        const Buffer table_buffer(table_, true), buffer(payload_, false);
        std::int64_t* const page = Table(table_buffer, fields).row(number);
        const Bytes payload = bytes_of(buffer);
        const nb::gil_scoped_release released;
        values_after_levels(page, payload);
        set_flag(page[values_at], 0);
    }

    // Put spans of values where they belong.
    //
    // Each span is five int64: the number of its payload, the number of its page, the first value in the page, how many, and where
    // in `out` the first belongs, in values. A payload is a page as it is in the file, or what it became by decompression; for
    // `payloads` of None it is found in `file`, by the table, and its checksum is verified the first time.
    void decode(nb::handle table_, nb::handle spans_, nb::handle file_, nb::handle payloads_, nb::handle dictionary_, nb::handle out_,
                std::string_view isa) const {
        const Kernel& kernel = kernel_named(kernels, isa);
        const Buffer table_buffer(table_, true), span_buffer(spans_, false), target(out_, true);
        const Table table(table_buffer, fields), spans(span_buffer, 5);
        const Bytes out_bytes = bytes_of(target);
        u8* const out = const_cast<u8*>(out_bytes.at);
        const index room = out_bytes.left() / width;

        std::vector<std::unique_ptr<Buffer>> held;
        const auto hold = [&](nb::handle object) { return bytes_of(*held.emplace_back(std::make_unique<Buffer>(object, false))); };
        Dictionary dictionary;
        if (!dictionary_.is_none()) {
            const Bytes values = hold(dictionary_);
            dictionary = {values.at, values.left() / width};
        }
        std::vector<Bytes> payloads;
        Bytes file{};
        const bool mapped = payloads_.is_none();
        if (mapped) {
            file = hold(file_);
        } else {
            for (nb::handle payload : nb::borrow<nb::list>(payloads_)) payloads.push_back(hold(payload));
        }

        const nb::gil_scoped_release released;
        for (index number = 0; number < spans.count; ++number) {
            const std::int64_t* const span = spans.row(number);
            std::int64_t* const page = table.row(span[1]);
            const index from = span[2], length = span[3], to = span[4];
            if (from < 0 || length < 0 || from > page[count] - length || to < 0 || to > room - length) throw nb::value_error("no such span");
            Bytes payload = file;
            if (mapped) {
                if (page[at] < 0) irregular("a page that is cut off");
                payload.take(u64(page[at]));
                payload = payload.take(u64(page[packed]));
                if (page[crc] >= 0 && !flag(page[verified])) {
                    if (kernel.crc32(0, payload.at, payload.left()) != u32(page[crc])) irregular("a checksum that does not fit");
                    set_flag(page[verified], 1);
                }
            } else {
                if (span[0] < 0 || std::size_t(span[0]) >= payloads.size()) throw nb::value_error("no such payload");
                payload = payloads[std::size_t(span[0])];
            }
            const Bytes values = verified_values(page, payload, flag(page[values_at]));
            put_values(kernel, page, values, from, length, dictionary, out + to * width);
        }
    }
};

}  // namespace

NB_MODULE(_native, m) {
    nb::exception<Irregular>(m, "Irregular", PyExc_ValueError);
    m.attr("FIELDS") = int(fields);
    m.def("walk", &walk, "data"_a, "base"_a, "position"_a, "end"_a, "most"_a, "always"_a);
    m.def("crc32", &crc32, "data"_a, "isa"_a = "");
    m.def("decompress", &decompress, "codec"_a, "data"_a, "out"_a);
    m.def("instruction_sets", [] { return supported_names(kernels); });
    nb::class_<Column>(m, "Column")
        .def(nb::init<const std::vector<index>&, int, int, int, int>(), "shape"_a, "most_rep"_a, "most_def"_a, "stored"_a, "width"_a)
        .def("check_levels", &Column::check_levels, "table"_a, "page"_a, "payload"_a)
        .def("decode", &Column::decode, "table"_a, "spans"_a, "file"_a.none(), "payloads"_a.none(), "dictionary"_a.none(), "out"_a,
             "isa"_a = "");
}

}  // namespace bridgeflow::pages
