// Tiles: a group of rows over a short stretch of time, loaded from the data and stored to them.
#pragma once

#include "kernel.hpp"
#include "transpose.hpp"

namespace bridgeflow {
namespace {

constexpr int max_groups = 4;  // vectors of rows that are interleaved
constexpr int max_rows = max_groups * BRIDGEFLOW_VECTOR_BYTES / int(sizeof(float));
constexpr index tile_samples = 128;
constexpr index few_samples = 1024;  // for one or two rows: a wavefront takes a while to fill and to drain
constexpr index strip_bytes = 1 << 15, most_strip = 4 * tile_samples;
constexpr index far = 1 << 22;  // bytes: about where an array is no longer in the outer cache

// How the rows of a group lie in memory: each along time, forwards or backwards; as the two parts of complex numbers along
// time; side by side (runs of one vector at least); or anyhow. Or all lanes read one row, of which they are the results of
// several filters.
enum class Layout { along_time, pairs, side_by_side, scattered, one_row };

Layout layout_of(const char* const* row, int rows, index step, index size, int run) {
    if (step == size || step == -size) return Layout::along_time;
    bool pairs = rows % 2 == 0, runs = rows % run == 0;
    for (int r = 1; r < rows; ++r) {
        const bool follows = row[r] - row[r - 1] == size;
        pairs = pairs && (r % 2 == 0 || follows), runs = runs && (r % run == 0 || follows);
    }
    return runs ? Layout::side_by_side : pairs ? Layout::pairs : Layout::scattered;
}

// The samples of a stretch of time in the order of memory.
struct Direction {
    const index first, sign;

    Direction(bool backwards, index samples) : first(backwards ? samples - 1 : 0), sign(backwards ? -1 : 1) {}

    INLINE index at(index in_memory) const { return first + sign * in_memory; }
};

// What elements of type T are while they are transposed: something of 4 or 8 bytes that holds them exactly.
template <class T>
using Carrier = std::conditional_t<sizeof(T) == 8, double, std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>>;

// As many rows as fill a vector of either, but at least one lane.
template <class E, class C, int Least = sizeof(E) < sizeof(C) ? lanes<C> : lanes<E>>
constexpr int rows_at_once = Least > per_lane<E> ? Least : per_lane<E>;

template <class In, class C>
void load_tile(const char* const* row, int rows, index step, Layout layout, index time, index samples, C* tile) {
    using E = Carrier<In>;
    constexpr int N = rows_at_once<E, C>, P = per_lane<E>, W = lanes<C>;
    // Where time runs backwards through memory, memory is read forwards all the same, and the tile filled from its end.
    const Direction go(layout == Layout::along_time && step < 0, samples);
    index done = 0;
    if (layout == Layout::one_row) {
        done = samples;
        for (index t = 0; t < samples; ++t) {
            Vec<C, W> all = {};
            all += C(load_one<In>(row[0] + (time + t) * step));
            for (int r = 0; r < rows; r += W) store(tile + t * rows + r, all);
        }
    } else if (rows == 1 && step == index(sizeof(In))) {
        done = samples / W * W;
        for (index t = 0; t < done; t += W) {
            store(tile + t, convert<Vec<C, W>>(convert<Vec<E, W>>(load<Vec<In, W>>(row[0] + (time + t) * step))));
        }
    } else if (layout == Layout::along_time && rows % N == 0) {
        done = samples / P * P;
        for (int r = 0; r < rows; r += N) {
            const char* from[N];  // or the compiler, fearing for `row`, reads it again after every store
            for (int i = 0; i < N; ++i) from[i] = row[r + i] + (time + go.first) * step;
            for (index t = 0; t < done; t += P) {
                Vec<E, N> column[P];
                for (int i = 0; i < P; ++i) column[i] = gather<In, E, N>(from + i, t * index(sizeof(In)));
                transpose<E, N>(column);
                for (int i = 0; i < P; ++i) store(tile + go.at(t + i) * rows + r, convert<Vec<C, N>>(column[i]));
            }
        }
    } else if (layout == Layout::side_by_side) {
        done = samples;
        for (index t = 0; t < samples; ++t) {
            for (int r = 0; r < rows; r += W) {
                store(tile + t * rows + r, convert<Vec<C, W>>(load<Vec<In, W>>(row[r] + (time + t) * step)));
            }
        }
    }
    if (layout == Layout::pairs) {
        for (int r = 0; r < rows; r += 2) {
            const char* const from = row[r] + time * step;
            for (index t = 0; t < samples; ++t) {
                store(tile + t * rows + r, convert<Vec<C, 2>>(load<Vec<In, 2>>(from + t * step)));
            }
        }
        return;
    }
    for (int r = 0; r < rows; ++r) {
        for (index u = done; u < samples; ++u) {
            const index t = go.at(u);
            tile[t * rows + r] = C(load_one<In>(row[r] + (time + t) * step));
        }
    }
}

template <class Out, class C>
void store_tile(char* const* row, int rows, index step, Layout layout, index time, index samples, const C* tile) {
    constexpr int N = rows_at_once<Out, C>, P = per_lane<Out>, W = lanes<C>;
    const Direction go(layout == Layout::along_time && step < 0, samples);
    index done = 0;
    if (rows == 1 && step == index(sizeof(Out))) {
        done = samples / W * W;
        for (index t = 0; t < done; t += W) {
            store(row[0] + (time + t) * step, convert<Vec<Out, W>>(load<Vec<C, W>>(tile + t)));
        }
    } else if (layout == Layout::along_time && rows % N == 0) {
        done = samples / N * N;
        // Four rows at a time: eight that are a power of two apart push out each other's cache lines before they are full.
        // (With float64 it would be two rows at a time, and take longer than that costs.)
        if constexpr (P == 4) {
            for (int r = 0; r < rows; r += P) {
                char* to[P];
                for (int i = 0; i < P; ++i) to[i] = row[r + i] + (time + go.first) * step;
                const char* step_of[N];
                for (int i = 0; i < N; ++i) step_of[i] = reinterpret_cast<const char*>(tile + go.at(i) * rows + r);
                const index apart = go.sign * rows * index(sizeof(C));
                for (index t = 0; t < done; t += N) {
                    Vec<Out, N> column[P];
                    for (int i = 0; i < P; ++i) column[i] = gather<C, Out, N>(step_of + i, t * apart);
                    transpose<Out, N>(column);
                    for (int i = 0; i < P; ++i) store(to[i] + t * index(sizeof(Out)), column[i]);
                }
            }
        } else {
            for (int r = 0; r < rows; r += N) {
                char* to[N];
                for (int i = 0; i < N; ++i) to[i] = row[r + i] + (time + go.first) * step;
                for (index t = 0; t < done; t += N) {
                    Vec<Out, N> column[N / P][P];
                    for (int q = 0; q < N / P; ++q) {
                        for (int i = 0; i < P; ++i) {
                            column[q][i] = convert<Vec<Out, N>>(load<Vec<C, N>>(tile + go.at(t + q * P + i) * rows + r));
                        }
                        transpose<Out, N>(column[q]);
                    }
                    scatter<Out, N>(to, t * index(sizeof(Out)), column);
                }
            }
        }
    } else if (layout == Layout::side_by_side) {
        done = samples;
        for (index t = 0; t < samples; ++t) {
            for (int r = 0; r < rows; r += W) {
                store(row[r] + (time + t) * step, convert<Vec<Out, W>>(load<Vec<C, W>>(tile + t * rows + r)));
            }
        }
    }
    if (layout == Layout::pairs) {
        for (int r = 0; r < rows; r += 2) {
            char* const to = row[r] + time * step;
            for (index t = 0; t < samples; ++t) {
                store(to + t * step, convert<Vec<Out, 2>>(load<Vec<C, 2>>(tile + t * rows + r)));
            }
        }
        return;
    }
    for (int r = 0; r < rows; ++r) {
        for (index u = done; u < samples; ++u) {
            const index t = go.at(u);
            store_one<Out>(row[r] + (time + t) * step, Out(tile[t * rows + r]));
        }
    }
}

}  // namespace
}  // namespace bridgeflow
