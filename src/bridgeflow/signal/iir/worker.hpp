// One thread's share of a job.
#pragma once

#include "lines.hpp"

#include <new>

namespace bridgeflow {
namespace {

template <class F>
void with_type(Scalar type, F&& f) {
    switch (type) {
        case Scalar::f32: return f(float());
        case Scalar::f64: return f(double());
        case Scalar::i16: return f(std::int16_t());
        case Scalar::i32: return f(std::int32_t());
        case Scalar::u8: return f(std::uint8_t());
        case Scalar::u16: return f(std::uint16_t());
    }
}

index size_of(Scalar type) {
    index size = 0;
    with_type(type, [&](auto one) { size = sizeof one; });
    return size;
}

template <class C>
class Worker {
    static constexpr int W = lanes<C>;
    static constexpr bool by_lines = BRIDGEFLOW_VECTOR_BYTES == 64;

    const Job& job;
    const index x_size, y_size;
    char* memory = nullptr;
    C *coefficients, *state, *tile, *edge;
    C* results;     // the tile of results: where several filters read a tile, another one
    double* units;  // a tile before it is converted to C, where there is a scale
    char* buffer;   // of lines()

    // A group goes through one set of coefficients after the other. A set is one filter, the same in all lanes, which are
    // rows; or, where several filters work on one or two rows, a vector of filters, whose lanes all read one row.
    bool across = false;
    index sets = 1, set = 0;
    Zeros* zeros;  // [sets]

    // The current group: vectors of rows, or no vector but one or two rows for a wavefront.
    int groups = 0, rows = 0;
    const char* x[max_rows];
    char *y_row[max_rows], *y[max_rows];  // of the first filter; of the current set
    const char *zi_row[max_rows], *zi[max_rows];
    char *zf_row[max_rows], *zf[max_rows];
    double offset[max_rows];
    Layout x_layout, y_layout;
    bool narrow;    // a tile of float32 around a recursion in float64: where both ends are float32, and nothing between
    index in_tile;  // bytes of an element
    index length;  // samples of a tile
    index strip;   // samples that all groups take their turn at
    Prefetch lines_of_x, lines_of_y;
    const Prefetch nothing{};

public:
    explicit Worker(const Job& job) : job(job), x_size(size_of(job.x_type)), y_size(size_of(job.y_type)) {}
    Worker(const Worker&) = delete;
    ~Worker() { ::operator delete(memory, std::align_val_t(64)); }

    Outcome run(index first, index last) {
        const bool few = last - first <= 2;
        across = few && job.filters > 1;
        sets = across ? (job.filters + W - 1) / W : job.filters;
        const index most = across ? W : few ? last - first : groups_for(last - first) * W;
        index kept = most;
        length = few && !across ? few_samples : tile_samples;
        strip = job.samples;
        if (!few && !job.both_ways) {
            groups = int(most / W), rows = int(most);
            select_rows(first, last);
            // Where time is an outer axis, a group alone would touch a new line for every sample, and soon a new page. All
            // groups in turn take their part of a block that the inner cache holds.
            const index apart = job.x_step < 0 ? -job.x_step : job.x_step;
            if (x_layout == Layout::side_by_side && last - first > most) {
                const index in_cache = apart == 0 ? most_strip : strip_bytes / apart;  // 0: one sample expanded over time
                strip = smaller(most_strip, in_cache > 16 ? in_cache : 16);
                kept = (last - first + most - 1) / most * most;
            }
        }
        if (!allocate(most, kept)) return Outcome::no_memory;
        C* const states = state;
        for (index begin = 0;; begin += strip) {
            state = states;
            for (index row = first; row < last; row += across ? 1 : rows) {
                groups = across ? 1 : few ? 0 : groups_for(last - row);
                rows = few && !across ? int(last - first) : groups * W;
                select_rows(row, across ? row + 1 : last);
                if (job.both_ways) {
                    forward_backward();
                } else {
                    const index end = begin + smaller(strip, job.samples - begin);
                    if (begin == 0) load_state();
                    forward(begin, end);
                    if (end == job.samples) save_state();
                    if (kept != most) state += sets * 2 * job.sections * rows;
                }
            }
            if (job.samples - begin <= strip) break;
        }
        return Outcome::done;
    }

private:
    int groups_for(index left) const {
        const int most = job.sections == 1 && W < 16 ? 4 : 2;  // more than 32 rows compete for their places in the caches
        int enough = 1;
        while (enough < most && enough * W < left) enough *= 2;
        return enough;
    }

    bool allocate(index r, index kept) {
        const index padded = job.samples + 2 * job.padlen;
        const index sizes[] = {
            index(sizeof(C)) * sets * job.sections * 5 * W,
            index(sizeof(C)) * sets * job.sections * 2 * kept,
            index(sizeof(C)) * (job.both_ways ? padded : length) * r,
            index(sizeof(C)) * (job.both_ways ? job.padlen + 1 : 0) * r,
            index(sizeof(double)) * (job.affine ? tile_samples : 0) * r,
            index(sizeof(C)) * (job.filters > 1 ? length : 0) * r,
            index(sizeof(Zeros)) * sets,
            by_lines ? lines_buffer(sets > 1) : 0,
        };
        constexpr int pieces = sizeof sizes / sizeof sizes[0];
        index total = 0;
        for (index size : sizes) total += rounded_up(size, 64);
        memory = static_cast<char*>(::operator new(std::size_t(total), std::align_val_t(64), std::nothrow));
        if (memory == nullptr) return false;
        char* piece[pieces] = {memory};
        for (int i = 0; i < pieces - 1; ++i) piece[i + 1] = piece[i] + rounded_up(sizes[i], 64);
        coefficients = reinterpret_cast<C*>(piece[0]), state = reinterpret_cast<C*>(piece[1]);
        tile = reinterpret_cast<C*>(piece[2]), edge = reinterpret_cast<C*>(piece[3]);
        units = reinterpret_cast<double*>(piece[4]);
        results = job.filters > 1 ? reinterpret_cast<C*>(piece[5]) : tile;
        zeros = reinterpret_cast<Zeros*>(piece[6]);
        buffer = piece[7];
        for (index at = 0; at < sets; ++at) take_coefficients(at);
        return true;
    }

    // The filter in a lane of a set; lanes beyond the last filter repeat it.
    index filter_of(index at, int lane) const { return across ? smaller(at * W + lane, job.filters - 1) : at; }

    void take_coefficients(index at) {
        C* const to = coefficients + at * job.sections * 5 * W;
        bool on_circle = true, gain_first = true, gain_last = true;
        for (int w = 0; w < W; ++w) {
            const double* const sos = job.sos + filter_of(at, w) * job.sections * 6;
            for (index s = 0; s < job.sections; ++s) {
                on_circle = on_circle && sos[6 * s] == sos[6 * s + 2];
                gain_first = gain_first && (s == 0 || sos[6 * s] == 1);
                gain_last = gain_last && (s == job.sections - 1 || sos[6 * s] == 1);
                for (int k = 0; k < 5; ++k) to[(s * 5 + k) * W + w] = C(sos[s * 6 + (k < 3 ? k : k + 1)]);
            }
        }
        zeros[at] = !on_circle ? Zeros::anywhere : gain_first ? Zeros::gain_first : gain_last ? Zeros::gain_last : Zeros::on_circle;
    }

    // Where the rows of a group lie; lanes beyond the last row repeat it.
    void select_rows(index first, index last) {
        for (int r = 0; r < rows; ++r) {
            index row = smaller(first + r, last - 1);
            offset[r] = job.complex && row % 2 != 0 ? 0 : job.offset;
            if (job.axes == 1) {
                const Axis& axis = job.axis[0];
                x[r] = job.x + row * axis.x, y_row[r] = job.y + row * axis.y;
                zi_row[r] = job.zi + row * axis.zi, zf_row[r] = job.zf + row * axis.zf;
                continue;
            }
            x[r] = job.x, y_row[r] = job.y, zi_row[r] = job.zi, zf_row[r] = job.zf;
            for (int a = job.axes - 1; a >= 0; --a) {
                const Axis& axis = job.axis[a];
                const index i = a == 0 ? row : row % axis.size;
                row = a == 0 ? 0 : row / axis.size;
                x[r] += i * axis.x, y_row[r] += i * axis.y, zi_row[r] += i * axis.zi, zf_row[r] += i * axis.zf;
            }
        }
        narrow = sizeof(C) == 8 && job.x_type == Scalar::f32 && job.y_type == Scalar::f32 && !job.affine && !job.both_ways &&
                 job.sections <= max_narrow && groups > 0 && rows % lanes<float> == 0;
        in_tile = narrow ? index(sizeof(float)) : index(sizeof(C));
        x_layout = across ? Layout::one_row : layout_of(x, rows, job.x_step, x_size, narrow ? lanes<float> : W);
        select_set(0);
    }

    // Where the results of a set lie.
    void select_set(index at) {
        set = at;
        for (int r = 0; r < rows; ++r) {
            const index filter = filter_of(at, r);
            y[r] = y_row[r] + filter * job.y_filter;
            zi[r] = zi_row[r] + filter * job.zi_filter, zf[r] = zf_row[r] + filter * job.zf_filter;
        }
        if (across || at == 0) y_layout = layout_of(y, rows, job.y_step, y_size, narrow ? lanes<float> : W);
    }

    C* state_of_set() const { return state + set * 2 * job.sections * rows; }

    void load_state() {
        for (index at = sets; at-- > 0;) {  // the first set stays selected
            if (sets > 1) select_set(at);
            C* const own = state_of_set();
            for (index i = 0; i < 2 * job.sections; ++i) {
                for (int r = 0; r < rows; ++r) {
                    own[i * rows + r] =
                        job.zi == nullptr ? C(0) : load_one<C>(zi[r] + i / 2 * job.zi_section + i % 2 * job.zi_pair);
                }
            }
        }
    }

    void save_state() {
        if (job.zf == nullptr) return;
        for (index at = 0; at < sets; ++at) {
            if (sets > 1) select_set(at);
            const C* const own = state_of_set();
            for (index i = 0; i < 2 * job.sections; ++i) {
                for (int r = 0; r < rows; ++r) {
                    store_one(zf[r] + i / 2 * job.zf_section + i % 2 * job.zf_pair, own[i * rows + r]);
                }
            }
        }
    }

    // The state after a constant `first`.
    void steady_state(const C* first) {
        for (index i = 0; i < 2 * job.sections; ++i) {
            for (int r = 0; r < rows; ++r) state[i * rows + r] = C(job.steady[i]) * first[r];
        }
    }

    void load_samples(index time, index samples, C* to) {
        with_type(job.x_type, [&](auto one) {
            using In = decltype(one);
            if (!job.affine) return load_tile<In, C>(x, rows, job.x_step, x_layout, time, samples, to);
            for (index done = 0; done < samples; done += tile_samples) {
                const index now = smaller(tile_samples, samples - done);
                load_tile<In, double>(x, rows, job.x_step, x_layout, time + done, now, units);
                if (rows % W == 0) {
                    to_units<W>(now, to + done * rows);
                } else {
                    to_units<1>(now, to + done * rows);
                }
            }
        });
    }

    template <int Run>
    void to_units(index samples, C* to) {
        for (index t = 0; t < samples; ++t) {
            for (int r = 0; r < rows; r += Run) {
                const auto value = load<Vec<double, Run>>(units + t * rows + r) * job.scale + load<Vec<double, Run>>(offset + r);
                store(to + t * rows + r, convert<Vec<C, Run>>(value));
            }
        }
    }

    void store_samples(index time, index samples, const C* from) {
        if (job.y_type == Scalar::f32) {
            store_tile<float, C>(y, rows, job.y_step, y_layout, time, samples, from);
        } else {
            store_tile<double, C>(y, rows, job.y_step, y_layout, time, samples, from);
        }
    }

    template <class F>
    static auto with_zeros(Zeros where, F&& f) {
        switch (where) {
            case Zeros::anywhere: return f(std::integral_constant<Zeros, Zeros::anywhere>());
            case Zeros::on_circle: return f(std::integral_constant<Zeros, Zeros::on_circle>());
            case Zeros::gain_first: return f(std::integral_constant<Zeros, Zeros::gain_first>());
            default: return f(std::integral_constant<Zeros, Zeros::gain_last>());
        }
    }

    Cascade<C>* cascade_of(index sections) const {
        return with_zeros(zeros[set], [&](auto where) {
            return narrow ? narrow_cascades<C, where()>[sections - 1][groups / 2] : cascades<C, where()>[sections - 1][groups / 2];
        });
    }

    // All sections over a stretch of time, as many at once as there is code for.
    void run_sections(const char* from, index from_step, char* to, index to_step, index samples, const Prefetch& reads,
                      const Prefetch& writes) {
        const index most = groups == 0 ? 2 * W : max_unrolled;
        index done = 0;
        for (index passes = (job.sections + most - 1) / most; passes > 0; --passes) {
            const index now = (job.sections - done + passes - 1) / passes;
            const C* const k = coefficients + (set * job.sections + done) * 5 * W;
            C* const z = state_of_set() + done * 2 * rows;
            if (groups == 0) {
                wavefronts<C>[now > W][rows - 1](from, from_step, to, to_step, samples, k, z, int(now));
            } else {
                cascade_of(now)(from, from_step, to, to_step, samples, k, z, done == 0 ? reads : nothing,
                                done == 0 ? writes : nothing);
            }
            from = to, from_step = to_step;
            done += now;
        }
    }

    // The cache lines of a tile that begins at `time`, where the data are too large to be in the cache anyway.
    const Prefetch& prefetch(Prefetch& lines, const char* const* row, Layout layout, index step, index size, index time) const {
        const index samples = smaller(length, job.samples - time);
        const bool in_lines = layout != Layout::scattered && layout != Layout::one_row;
        if (samples <= 0 || !in_lines || job.rows * job.samples * size < far) return nothing;
        // Every `every`-th row begins a line; the table then has room for several of the lines that follow.
        const int every = layout == Layout::along_time ? 1 : layout == Layout::pairs ? 2 : int(smaller(rows, 64 / size));
        const index next = layout == Layout::side_by_side ? step : step < 0 ? -64 : 64;
        for (int r = 0; r < rows; ++r) {
            lines.line[r] = row[r * every % rows] + time * step + r * every / rows * next;
        }
        lines.step = every * next;
        lines.lines = layout == Layout::side_by_side ? rows / every * samples : rows / every * (samples * (step < 0 ? -step : step) / 64);
        lines.at_once = (lines.lines + samples - 1) / samples;
        return lines;
    }

    const Prefetch& reads(index time) { return prefetch(lines_of_x, x, x_layout, job.x_step, x_size, time); }
    const Prefetch& writes(index time) {
        return job.y == nullptr ? nothing : prefetch(lines_of_y, y, y_layout, job.y_step, y_size, time);
    }

    // Whether one time step of the rows lies in memory as it does in a tile.
    bool as_in_tile(const char* const* row) const {
        for (int r = 1; r < rows; ++r) {
            if (row[r] - row[r - 1] != in_tile) return false;
        }
        return true;
    }

    void forward(index begin, index end) {
        const Scalar element = narrow || sizeof(C) == 4 ? Scalar::f32 : Scalar::f64;
        const bool from_x = job.x_type == element && !job.affine && as_in_tile(x);
        const index tile_step = in_tile * rows;
        if constexpr (by_lines) begin = forward_by_lines(begin, end);
        for (index time = begin; time < end; time += length) {
            const index samples = smaller(length, end - time);
            if (!from_x && narrow) {
                load_tile<float, float>(x, rows, job.x_step, x_layout, time, samples, reinterpret_cast<float*>(tile));
            } else if (!from_x) {
                load_samples(time, samples, tile);
            }
            const index ahead = strip < job.samples ? strip : 0;
            for (index at = 0; at < sets; ++at) {
                if (sets > 1) select_set(at);
                const bool to_y = job.y != nullptr && job.y_type == element && as_in_tile(y);
                run_sections(from_x ? x[0] + time * job.x_step : reinterpret_cast<char*>(tile), from_x ? job.x_step : tile_step,
                             to_y ? y[0] + time * job.y_step : reinterpret_cast<char*>(results), to_y ? job.y_step : tile_step,
                             samples, at == 0 ? reads(time + (ahead > 0 ? ahead : length)) : nothing, writes(time + ahead));
                if (job.y == nullptr || to_y) continue;
                if (narrow) {
                    store_tile<float, float>(y, rows, job.y_step, y_layout, time, samples, reinterpret_cast<float*>(results));
                } else {
                    store_samples(time, samples, results);
                }
            }
        }
    }

    // As much as there is of whole cache lines; returns where that ends.
    index forward_by_lines(index begin, index end) {
        const bool same = job.x_type == job.y_type && x_layout == Layout::along_time && y_layout == Layout::along_time &&
                          (job.x_step < 0) == (job.y_step < 0);
        if (groups == 0 || across || job.y == nullptr || job.affine || !same) return begin;
        if (job.x_type == Scalar::f32) return lines_of_type<float>(begin, end);
        if constexpr (sizeof(C) == 8) {
            if (job.x_type == Scalar::f64) return lines_of_type<double>(begin, end);
        }
        return begin;
    }

    template <class E>
    index lines_of_type(index begin, index end) {
        const index n = smaller(lanes<E>, rows), blocks = (end - begin) / n, before = job.x_step < 0 ? begin + n - 1 : begin;
        if (blocks == 0) return begin;
        const Stretch<C> stretch{
            .x = x,
            .y = y_row,
            .x_start = before * job.x_step,
            .y_start = before * job.y_step,
            .blocks = blocks,
            .backwards = job.x_step < 0,
            .ahead = job.rows * job.samples * index(sizeof(E)) < far || sets > 1 ? 2 : 4,
            .buffer = buffer,
            .coefficients = coefficients,
            .state = state,
            .sections = job.sections,
            .filters = sets,
            .y_filter = job.y_filter,
        };
        // Filters of a bank may have their zeros in different places.
        Zeros common = zeros[0];
        for (index at = 1; at < sets; ++at) common = zeros[at] == common ? common : Zeros::anywhere;
        const index kind = job.sections > max_unrolled ? 0 : job.sections;
        Lines<C>* const run = with_zeros(common, [&](auto where) { return lines_of<C, where(), E>[kind][groups / 2]; });
        run(stretch);
        return begin + blocks * n;
    }

    // Forwards over the padded rows into a tile that holds them whole, and backwards in place.
    void forward_backward() {
        const index pad = job.padlen, samples = job.samples, step = index(sizeof(C)) * rows;
        load_samples(0, pad + 1, edge);
        for (index t = 0; t < pad; ++t) extend(tile + t * rows, edge, edge + (pad - t) * rows);
        steady_state(pad > 0 ? tile : edge);
        auto filter = [&](index begin, index end, const Prefetch& reads) {
            char* const at = reinterpret_cast<char*>(tile + begin * rows);
            run_sections(at, step, at, step, end - begin, reads, nothing);
        };
        // The far end's padding is made of samples that the filter is going to replace.
        load_samples(samples - 1 - pad, pad + 1, edge);
        C* const after = tile + (pad + samples) * rows;
        for (index t = 0; t < pad; ++t) extend(after + t * rows, edge + pad * rows, edge + (pad - 1 - t) * rows);
        filter(0, pad, nothing);
        for (index time = 0; time < samples; time += length) {
            const index now = smaller(length, samples - time);
            load_samples(time, now, tile + (pad + time) * rows);
            filter(pad + time, pad + time + now, reads(time + now));
        }
        filter(pad + samples, samples + 2 * pad, nothing);

        steady_state(tile + (samples + 2 * pad - 1) * rows);
        auto filter_back = [&](index begin, index end, const Prefetch& writes) {
            char* const at = reinterpret_cast<char*>(tile + (end - 1) * rows);
            run_sections(at, -step, at, -step, end - begin, nothing, writes);
        };
        filter_back(pad + samples, samples + 2 * pad, nothing);
        for (index end = samples; end > 0;) {
            const index begin = (end - 1) / length * length;
            filter_back(pad + begin, pad + end, writes(begin));
            store_samples(begin, end - begin, tile + (pad + begin) * rows);
            end = begin;
        }
    }

    // One time step beyond an end: `inside` is the sample at the same distance before the end.
    void extend(C* beyond, const C* end, const C* inside) {
        for (int r = 0; r < rows; ++r) {
            beyond[r] = job.padding == Padding::odd ? C(2) * end[r] - inside[r]
                        : job.padding == Padding::even ? inside[r]
                                                       : end[r];
        }
    }
};

}  // namespace
}  // namespace bridgeflow
