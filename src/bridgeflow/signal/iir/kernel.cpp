// Second-order sections over many rows at once: one row per SIMD lane.
//
// CMakeLists.txt compiles this file once per instruction set, with BRIDGEFLOW_ISA naming the variant and
// BRIDGEFLOW_VECTOR_BYTES the width of its vectors. Everything else is the same code, written over the vector extensions of
// GCC and Clang, so that a wide variant can be tested on a narrow machine.
//
// The work goes in tiles: a group of rows, a short stretch of time.
//
//     load     rows (time along memory) -> tile[time][lane], transposed in registers, converted to the type of the recursion
//     cascade  tile -> tile, all sections; a lane is a row, so there is nothing but vertical arithmetic
//     store    tile -> rows
//
// Where the rows lie side by side in memory (time is an outer axis), tile and data have the same layout, and the cascade
// reads and writes the data themselves.
//
// Bits. A lane sees the same operations in the same order whatever its neighbours, the group, the tile or the width of the
// vector, so the output depends on row and filter alone. The operations and their order are those of SciPy's loop, no product
// and sum are contracted (-ffp-contract=off), and so float64 results equal SciPy's bit for bit, with one exception:
// subnormal numbers count as zero (see FlushSubnormals). Lanes beyond the last row repeat that row; they store the same bytes
// to the same place.
//
// One definition rule. Objects of several instruction sets are linked together, so a function that two of them instantiate
// would be taken from either. Everything here is in an unnamed namespace, and of the standard library only types are
// used here, and operator new.

#include "kernel.hpp"

#include <new>
#include <type_traits>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace bridgeflow {
namespace {

template <class T, int N>
using Vec __attribute__((vector_size(N * sizeof(T)))) = T;

// Vector loads and stores of data that need not be aligned, even to their element.
template <class V>
struct Unaligned {
    typedef V type __attribute__((aligned(1), may_alias));
};

template <class V>
INLINE V load(const void* from) {
    return *static_cast<const typename Unaligned<V>::type*>(from);
}

template <class V>
INLINE void store(void* to, V value) {
    *static_cast<typename Unaligned<V>::type*>(to) = value;
}

constexpr index least(index a, index b) { return a < b ? a : b; }

template <class T>
INLINE T load_one(const char* from) {
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

template <class T>
INLINE void store_one(char* to, T value) {
    __builtin_memcpy(to, &value, sizeof value);
}

template <class To, class From>
INLINE To convert(From value) {
#if defined(__AVX__)  // GCC 12 splits this one into halves that travel through memory
    if constexpr (sizeof(From) == 16 && sizeof(To) == 32 && std::is_same_v<decltype(value[0] + 0), float>) {
        return reinterpret_cast<To>(_mm256_cvtps_pd(reinterpret_cast<__m128>(value)));
    }
#endif
    return __builtin_convertvector(value, To);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Transposition. A 128-bit lane of a vector holds P consecutive samples of one row; a vector of L lanes those of L rows, P rows
// apart. Transposing inside the lanes, P vectors at a time, turns P samples of N = L * P rows into P vectors of N rows each.
// Only interleavings inside 128-bit lanes are needed, one instruction each on every x86 and on NEON; rows get into their lanes
// on the way from memory and to it.

constexpr int lane_bytes = 16;

template <class E>
constexpr int per_lane = lane_bytes / int(sizeof(E));

// Interleaves the low or high halves of the lanes of a and b, in grains of `Grain` elements.
template <int Grain, bool High, class E, int N, int... I>
INLINE Vec<E, N> interleave(Vec<E, N> a, Vec<E, N> b, std::integer_sequence<int, I...>) {
    constexpr int P = per_lane<E>;
    return __builtin_shufflevector(
        a, b, (I / P * P + (High ? P / 2 : 0) + I % P / (2 * Grain) * Grain + I % Grain + (I % P / Grain % 2 ? N : 0))...);
}

template <int Grain, bool High, class E, int N>
INLINE Vec<E, N> interleave(Vec<E, N> a, Vec<E, N> b) {
    return interleave<Grain, High, E, N>(a, b, std::make_integer_sequence<int, N>());
}

template <class E, int N>
INLINE void transpose(Vec<E, N>* r) {
    if constexpr (per_lane<E> == 2) {
        Vec<E, N> a = interleave<1, false, E, N>(r[0], r[1]), b = interleave<1, true, E, N>(r[0], r[1]);
        r[0] = a, r[1] = b;
    } else {
        Vec<E, N> a = interleave<1, false, E, N>(r[0], r[1]), b = interleave<1, false, E, N>(r[2], r[3]);
        Vec<E, N> c = interleave<1, true, E, N>(r[0], r[1]), d = interleave<1, true, E, N>(r[2], r[3]);
        r[0] = interleave<2, false, E, N>(a, b), r[1] = interleave<2, true, E, N>(a, b);
        r[2] = interleave<2, false, E, N>(c, d), r[3] = interleave<2, true, E, N>(c, d);
    }
}

// b moved up by one lane, behind the last of a.
template <class E, int N, int... I>
INLINE Vec<E, N> behind(Vec<E, N> a, Vec<E, N> b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (N - 1 + I)...);
}

template <class E, int N>
INLINE Vec<E, N> behind(Vec<E, N> a, Vec<E, N> b) {
    return behind<E, N>(a, b, std::make_integer_sequence<int, N>());
}

template <class E, int N, int... I>
INLINE Vec<E, 2 * N> join(Vec<E, N> a, Vec<E, N> b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, I...);
}

// The lanes First, Last (or First alone, where a vector has two) of a, then those of b.
template <int First, int Last, class E, int N, int... I>
INLINE Vec<E, N> pick(Vec<E, N> a, Vec<E, N> b, std::integer_sequence<int, I...>) {
    constexpr int P = per_lane<E>;
    return __builtin_shufflevector(a, b, ((I < N / 2 ? 0 : N) + (I % (N / 2) < P ? First : Last) * P + I % P)...);
}

template <int First, int Last, class E, int N>
INLINE Vec<E, N> pick(Vec<E, N> a, Vec<E, N> b) {
    return pick<First, Last, E, N>(a, b, std::make_integer_sequence<int, N>());
}

// P samples of rows row[0], row[P], row[2 P], ..., one row per lane, as elements of type E.
template <class In, class E, int N>
INLINE Vec<E, N> gather(const char* const* row, index at) {
    constexpr int P = per_lane<E>;
    if constexpr (N == P) {
        return convert<Vec<E, P>>(load<Vec<In, P>>(row[0] + at));
    } else {
        return join<E, N / 2>(gather<In, E, N / 2>(row, at), gather<In, E, N / 2>(row + N / 2, at),
                              std::make_integer_sequence<int, N>());
    }
}

// The inverse for L times P samples: column[q][i] is what transpose() makes of samples q * P ... (q + 1) * P, so its lanes
// belong to rows i, i + P, ...; each row gets its samples in one store of a whole vector.
template <class E, int N>
INLINE void scatter(char* const* row, index at, const Vec<E, N> (*column)[per_lane<E>]) {
    constexpr int P = per_lane<E>, L = N / P;
    for (int i = 0; i < P; ++i) {
        if constexpr (L == 1) {
            store(row[i] + at, column[0][i]);
        } else if constexpr (L == 2) {
            store(row[i] + at, pick<0, 0, E, N>(column[0][i], column[1][i]));
            store(row[i + P] + at, pick<1, 1, E, N>(column[0][i], column[1][i]));
        } else {
            const Vec<E, N> a = pick<0, 1, E, N>(column[0][i], column[1][i]), b = pick<0, 1, E, N>(column[2][i], column[3][i]);
            const Vec<E, N> c = pick<2, 3, E, N>(column[0][i], column[1][i]), d = pick<2, 3, E, N>(column[2][i], column[3][i]);
            store(row[i] + at, pick<0, 2, E, N>(a, b));
            store(row[i + P] + at, pick<1, 3, E, N>(a, b));
            store(row[i + 2 * P] + at, pick<0, 2, E, N>(c, d));
            store(row[i + 3 * P] + at, pick<1, 3, E, N>(c, d));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Tiles.

template <class C>
constexpr int lanes = BRIDGEFLOW_VECTOR_BYTES / int(sizeof(C));

constexpr int max_groups = 4;  // vectors of rows that are interleaved
constexpr int max_rows = max_groups * BRIDGEFLOW_VECTOR_BYTES / int(sizeof(float));
constexpr index tile_samples = 128;
constexpr index few_samples = 1024;  // of one or two rows: a wavefront takes a while to fill and to drain
constexpr index strip_bytes = 1 << 15, most_strip = 4 * tile_samples;
constexpr index far = 1 << 22;  // bytes: about where an array is no longer at hand in the outer cache

// How the rows of a group lie in memory: each along time, forwards or backwards; as the two parts of complex numbers along
// time; side by side (runs of one vector at least); or anyhow.
enum class Layout { along_time, pairs, side_by_side, scattered };

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
    if (rows == 1 && step == index(sizeof(In))) {
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
                const char* instant[N];
                for (int i = 0; i < N; ++i) instant[i] = reinterpret_cast<const char*>(tile + go.at(i) * rows + r);
                const index apart = go.sign * rows * index(sizeof(C));
                for (index t = 0; t < done; t += N) {
                    Vec<Out, N> column[P];
                    for (int i = 0; i < P; ++i) column[i] = gather<C, Out, N>(instant + i, t * apart);
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

// ---------------------------------------------------------------------------------------------------------------------------
// The recursion: S sections in direct form II transposed, over G vectors of rows.

// Cache lines to ask for meanwhile: a few with every time step, in turn from all rows. The hardware follows the short stretches
// of many rows badly; where they come from memory or the outer caches, this makes the whole up to twice as fast.
struct Ahead {
    const char* line[max_rows];  // the first lines; the next are `step` bytes behind them
    index step = 0;
    index lines = 0, at_once = 0;

    template <int Rows, bool Write>
    INLINE void fetch(index time) const {
        for (index i = time * at_once; i < least(lines, (time + 1) * at_once); ++i) {
            __builtin_prefetch(line[i % Rows] + i / Rows * step, Write, 3);
        }
    }
};

template <class C>
using Cascade = void(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients,
                     C* state, const Ahead& reads, const Ahead& writes);

// coefficients: [S][b0 b1 b2 a1 a2][W], each repeated in all lanes, so that a product takes it straight from memory;
// state: [S][2][G * W]. The tile, or the data in its place, holds elements of type T.
//
// A step of one section waits for itself: product, difference and two sums, 12 to 16 cycles, while its nine operations take
// about 2.5 of them. The sections of a cascade overlap by themselves, one sample apart; where they are few, G vectors of rows
// take turns. Zeros on the unit circle, which most designs have, save a product: there b2 == b0, so that the same serves
// twice. And as designs put their gain into the first section, b0 == 1 in the others, where that product is x itself. (In
// gradients the first section comes last.)
enum class Zeros { anywhere, on_circle, gain_first, gain_last };

template <class C, int S, int G, Zeros Where, class T>
void cascade(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients, C* state,
             const Ahead& reads, const Ahead& writes) {
    constexpr int W = lanes<C>;
    using V = Vec<C, W>;
    const V* const k = reinterpret_cast<const V*>(coefficients);
    V* const kept = reinterpret_cast<V*>(state);
    V z1[S][G], z2[S][G];
    for (int s = 0; s < S; ++s) {
        for (int g = 0; g < G; ++g) z1[s][g] = kept[2 * s * G + g], z2[s][g] = kept[(2 * s + 1) * G + g];
    }
    for (index t = 0; t < samples; ++t, from += from_step, to += to_step) {
        reads.template fetch<G * W, false>(t);
        writes.template fetch<G * W, true>(t);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
            V x = convert<V>(load<Vec<T, W>>(from + g * W * index(sizeof(T))));
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) {
                const bool plain = (Where == Zeros::gain_first && s > 0) || (Where == Zeros::gain_last && s < S - 1);
                const V b0_x = plain ? x : k[5 * s] * x;
                const V y = b0_x + z1[s][g];
                z1[s][g] = k[5 * s + 1] * x - k[5 * s + 3] * y + z2[s][g];
                z2[s][g] = (Where != Zeros::anywhere ? b0_x : k[5 * s + 2] * x) - k[5 * s + 4] * y;
                x = y;
            }
            store(to + g * W * index(sizeof(T)), convert<Vec<T, W>>(x));
        }
    }
    for (int s = 0; s < S; ++s) {
        for (int g = 0; g < G; ++g) kept[2 * s * G + g] = z1[s][g], kept[(2 * s + 1) * G + g] = z2[s][g];
    }
}

constexpr int max_unrolled = 4;

// By sections, 1 to 4, and by groups: 1, 2, 4.
template <class C, Zeros Where>
constexpr Cascade<C>* cascades[max_unrolled][3] = {
    {cascade<C, 1, 1, Where, C>, cascade<C, 1, 2, Where, C>, cascade<C, 1, 4, Where, C>},
    {cascade<C, 2, 1, Where, C>, cascade<C, 2, 2, Where, C>},
    {cascade<C, 3, 1, Where, C>, cascade<C, 3, 2, Where, C>},
    {cascade<C, 4, 1, Where, C>, cascade<C, 4, 2, Where, C>},
};

// The same over a tile of float32, which is faster to load and store. With more sections the arithmetic has no time to spare
// for conversions.
constexpr int max_narrow = 2;

template <class C, Zeros Where>
constexpr Cascade<C>* narrow_cascades[max_narrow][3] = {
    {cascade<C, 1, 1, Where, float>, cascade<C, 1, 2, Where, float>, cascade<C, 1, 4, Where, float>},
    {cascade<C, 2, 1, Where, float>, cascade<C, 2, 2, Where, float>},
};

template <class C>
using Wavefront = void(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients,
                       C* state, int sections);

// One or two rows would leave most lanes idle. Here the sections are in the lanes, each one time step behind the one before: with
// every step a lane takes what its neighbour gave one step earlier. A step then takes as long as one section waits for itself,
// however many sections there are. M vectors hold the sections of a row; the operations are those of cascade().
template <class C, int M, int G>
void wavefront(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients, C* state,
               int sections) {
    constexpr int W = lanes<C>;
    using V = Vec<C, W>;
    using Lane = std::conditional_t<sizeof(C) == 4, std::int32_t, std::int64_t>;
    V k[5][M] = {}, z1[G][M] = {}, z2[G][M] = {}, y[G][M] = {};
    Vec<Lane, W> lag[M] = {};
    for (int s = 0; s < sections; ++s) {
        for (int i = 0; i < 5; ++i) k[i][s / W][s % W] = coefficients[(5 * s + i) * W];
        for (int g = 0; g < G; ++g) z1[g][s / W][s % W] = state[2 * s * G + g], z2[g][s / W][s % W] = state[(2 * s + 1) * G + g];
    }
    for (int m = 0; m < M; ++m) {
        for (int w = 0; w < W; ++w) lag[m][w] = m * W + w;
    }
    const int last = sections - 1;
    const auto step = [&](index time, auto partly) __attribute__((always_inline)) {
        for (int g = 0; g < G; ++g) {
            V arriving = {};
            if (!partly || time < samples) arriving += load_one<C>(from + time * from_step + g * index(sizeof(C)));
            V x[M];
            for (int m = 0; m < M; ++m) x[m] = behind<C, W>(m == 0 ? arriving : y[g][m - 1], y[g][m]);
            for (int m = 0; m < M; ++m) {
                const V now = k[0][m] * x[m] + z1[g][m];
                const V next1 = k[1][m] * x[m] - k[3][m] * now + z2[g][m];
                const V next2 = k[2][m] * x[m] - k[4][m] * now;
                if (partly) {  // at both ends some lanes have nothing to do yet, or no more
                    const Vec<Lane, W> at = Lane(least(time, last)) - lag[m], left = Lane(least(samples - 1 - time, 0)) + lag[m];
                    const auto active = (at >= 0) & (left >= 0);
                    y[g][m] = active ? now : y[g][m];
                    z1[g][m] = active ? next1 : z1[g][m], z2[g][m] = active ? next2 : z2[g][m];
                } else {
                    y[g][m] = now, z1[g][m] = next1, z2[g][m] = next2;
                }
            }
            if (!partly || time >= last) {
                store_one(to + (time - last) * to_step + g * index(sizeof(C)), y[g][last / W][last % W]);
            }
        }
    };
    index time = 0;
    for (; time < last; ++time) step(time, std::true_type());
    for (; time < samples; ++time) step(time, std::false_type());
    for (; time < samples + last; ++time) step(time, std::true_type());
    for (int s = 0; s < sections; ++s) {
        for (int g = 0; g < G; ++g) state[2 * s * G + g] = z1[g][s / W][s % W], state[(2 * s + 1) * G + g] = z2[g][s / W][s % W];
    }
}

template <class C>
constexpr Wavefront<C>* wavefronts[2][2] = {{wavefront<C, 1, 1>, wavefront<C, 1, 2>}, {wavefront<C, 2, 1>, wavefront<C, 2, 2>}};

// ---------------------------------------------------------------------------------------------------------------------------

// A recording that falls silent leaves the state decaying through the subnormal numbers, which many processors handle a
// hundred times slower. For the time of a run they count as zero, where they are read and where they would arise: the
// results differ from SciPy's by less than 2.3e-308 (1.2e-38 in float32) times the gain.
class FlushSubnormals {
#if defined(__SSE2__)
    unsigned saved = _mm_getcsr();

public:
    FlushSubnormals() { _mm_setcsr(saved | 0x8040); }
    ~FlushSubnormals() { _mm_setcsr(saved); }
#elif defined(__aarch64__)
    std::uint64_t saved;

public:
    FlushSubnormals() {
        asm volatile("mrs %0, fpcr" : "=r"(saved));
        asm volatile("msr fpcr, %0" : : "r"(saved | std::uint64_t(1) << 24));
    }
    ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(saved)); }
#else
public:
    FlushSubnormals() {}
#endif
};

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

// One thread's share of a job.
template <class C>
class Worker {
    static constexpr int W = lanes<C>;

    const Job& job;
    const index x_size, y_size;
    char* memory = nullptr;
    Zeros zeros;
    C *coefficients, *state, *tile, *edge;
    double* units;  // a tile before it is converted to C, where there is a scale

    // The group at hand: vectors of rows, or no vector but one or two rows for a wavefront.
    int groups = 0, rows = 0;
    const char* x[max_rows];
    char* y[max_rows];
    const char* zi[max_rows];
    char* zf[max_rows];
    double offset[max_rows];
    Layout x_layout, y_layout;
    bool narrow;    // a tile of float32 around a recursion in float64: where both ends are float32, and nothing between
    index in_tile;  // bytes of an element
    index length;  // samples of a tile
    index strip;   // samples that all groups take their turn at
    Ahead lines_of_x, lines_of_y;
    const Ahead nothing{};

public:
    explicit Worker(const Job& job) : job(job), x_size(size_of(job.x_type)), y_size(size_of(job.y_type)) {}
    Worker(const Worker&) = delete;
    ~Worker() { ::operator delete(memory, std::align_val_t(64)); }

    Outcome run(index first, index last) {
        const bool few = last - first <= 2;
        const index most = few ? last - first : groups_for(last - first) * W;
        index kept = most;
        length = few ? few_samples : tile_samples;
        strip = job.samples;
        if (!few && !job.both_ways) {
            groups = int(most / W), rows = int(most);
            open(first, last);
            // Where time is an outer axis, a group alone would touch a new line for every sample, and soon a new page. All
            // groups in turn take their part of a block that the inner cache holds.
            const index apart = job.x_step < 0 ? -job.x_step : job.x_step;
            if (x_layout == Layout::side_by_side && last - first > most) {
                const index in_cache = apart == 0 ? most_strip : strip_bytes / apart;  // 0: one sample expanded over time
                strip = least(most_strip, in_cache > 16 ? in_cache : 16);
                kept = (last - first + most - 1) / most * most;
            }
        }
        if (!allocate(most, kept)) return Outcome::no_memory;
        C* const states = state;
        for (index begin = 0;; begin += strip) {
            state = states;
            for (index row = first; row < last; row += rows) {
                groups = few ? 0 : groups_for(last - row);
                rows = few ? int(last - first) : groups * W;
                open(row, last);
                if (job.both_ways) {
                    forth_and_back();
                } else {
                    const index end = begin + least(strip, job.samples - begin);
                    if (begin == 0) restore();
                    forth(begin, end);
                    if (end == job.samples) keep();
                    if (kept != most) state += 2 * job.sections * rows;
                }
            }
            if (job.samples - begin <= strip) break;
        }
        return Outcome::done;
    }

private:
    int groups_for(index left) const {
        const int most = job.sections == 1 ? 4 : 2;
        int enough = 1;
        while (enough < most && enough * W < left) enough *= 2;
        return enough;
    }

    bool allocate(index r, index kept) {
        const index padded = job.samples + 2 * job.padlen;
        const index sizes[] = {
            index(sizeof(C)) * job.sections * 5 * W,
            index(sizeof(C)) * job.sections * 2 * kept,
            index(sizeof(C)) * (job.both_ways ? padded : length) * r,
            index(sizeof(C)) * (job.both_ways ? job.padlen + 1 : 0) * r,
            index(sizeof(double)) * (job.affine ? tile_samples : 0) * r,
        };
        index total = 0;
        for (index size : sizes) total += (size + 63) / 64 * 64;
        memory = static_cast<char*>(::operator new(std::size_t(total), std::align_val_t(64), std::nothrow));
        if (memory == nullptr) return false;
        char* piece[5] = {memory};
        for (int i = 0; i < 4; ++i) piece[i + 1] = piece[i] + (sizes[i] + 63) / 64 * 64;
        coefficients = reinterpret_cast<C*>(piece[0]), state = reinterpret_cast<C*>(piece[1]);
        tile = reinterpret_cast<C*>(piece[2]), edge = reinterpret_cast<C*>(piece[3]);
        units = reinterpret_cast<double*>(piece[4]);
        bool on_circle = true, gain_first = true, gain_last = true;
        for (index s = 0; s < job.sections; ++s) {
            on_circle = on_circle && job.sos[6 * s] == job.sos[6 * s + 2];
            gain_first = gain_first && (s == 0 || job.sos[6 * s] == 1);
            gain_last = gain_last && (s == job.sections - 1 || job.sos[6 * s] == 1);
            for (int k = 0; k < 5; ++k) {
                for (int w = 0; w < W; ++w) coefficients[(s * 5 + k) * W + w] = C(job.sos[s * 6 + (k < 3 ? k : k + 1)]);
            }
        }
        zeros = !on_circle ? Zeros::anywhere : gain_first ? Zeros::gain_first : gain_last ? Zeros::gain_last : Zeros::on_circle;
        return true;
    }

    // Finds the rows of a group; lanes beyond the last row repeat it.
    void open(index first, index last) {
        for (int r = 0; r < rows; ++r) {
            index row = least(first + r, last - 1);
            offset[r] = job.complex && row % 2 != 0 ? 0 : job.offset;
            if (job.axes == 1) {
                const Axis& axis = job.axis[0];
                x[r] = job.x + row * axis.x, y[r] = job.y + row * axis.y;
                zi[r] = job.zi + row * axis.zi, zf[r] = job.zf + row * axis.zf;
                continue;
            }
            x[r] = job.x, y[r] = job.y, zi[r] = job.zi, zf[r] = job.zf;
            for (int a = job.axes - 1; a >= 0; --a) {
                const Axis& axis = job.axis[a];
                const index i = a == 0 ? row : row % axis.size;
                row = a == 0 ? 0 : row / axis.size;
                x[r] += i * axis.x, y[r] += i * axis.y, zi[r] += i * axis.zi, zf[r] += i * axis.zf;
            }
        }
        narrow = sizeof(C) == 8 && job.x_type == Scalar::f32 && job.y_type == Scalar::f32 && !job.affine && !job.both_ways &&
                 job.sections <= max_narrow && groups > 0 && rows % lanes<float> == 0;
        in_tile = narrow ? index(sizeof(float)) : index(sizeof(C));
        const int run = narrow ? lanes<float> : W;
        x_layout = layout_of(x, rows, job.x_step, x_size, run);
        y_layout = layout_of(y, rows, job.y_step, y_size, run);
    }

    void restore() {
        for (index i = 0; i < 2 * job.sections; ++i) {
            for (int r = 0; r < rows; ++r) {
                state[i * rows + r] =
                    job.zi == nullptr ? C(0) : load_one<C>(zi[r] + i / 2 * job.zi_section + i % 2 * job.zi_pair);
            }
        }
    }

    void keep() {
        if (job.zf == nullptr) return;
        for (index i = 0; i < 2 * job.sections; ++i) {
            for (int r = 0; r < rows; ++r) {
                store_one(zf[r] + i / 2 * job.zf_section + i % 2 * job.zf_pair, state[i * rows + r]);
            }
        }
    }

    // The state of a filter that has seen `first` for ever.
    void settle(const C* first) {
        for (index i = 0; i < 2 * job.sections; ++i) {
            for (int r = 0; r < rows; ++r) state[i * rows + r] = C(job.steady[i]) * first[r];
        }
    }

    void load_samples(index time, index samples, C* to) {
        with_type(job.x_type, [&](auto one) {
            using In = decltype(one);
            if (!job.affine) return load_tile<In, C>(x, rows, job.x_step, x_layout, time, samples, to);
            for (index done = 0; done < samples; done += tile_samples) {
                const index now = least(tile_samples, samples - done);
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

    template <Zeros Where>
    Cascade<C>* cascade_among(index sections) const {
        return narrow ? narrow_cascades<C, Where>[sections - 1][groups / 2] : cascades<C, Where>[sections - 1][groups / 2];
    }

    Cascade<C>* cascade_of(index sections) const {
        switch (zeros) {
            case Zeros::anywhere: return cascade_among<Zeros::anywhere>(sections);
            case Zeros::on_circle: return cascade_among<Zeros::on_circle>(sections);
            case Zeros::gain_first: return cascade_among<Zeros::gain_first>(sections);
            default: return cascade_among<Zeros::gain_last>(sections);
        }
    }

    // All sections over a stretch of time, as many at once as there is code for.
    void run_sections(const char* from, index from_step, char* to, index to_step, index samples, const Ahead& reads,
                      const Ahead& writes) {
        const index most = groups == 0 ? 2 * W : max_unrolled;
        index done = 0;
        for (index passes = (job.sections + most - 1) / most; passes > 0; --passes) {
            const index now = (job.sections - done + passes - 1) / passes;
            const C* const k = coefficients + done * 5 * W;
            C* const z = state + done * 2 * rows;
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
    const Ahead& ahead(Ahead& lines, const char* const* row, Layout layout, index step, index size, index time) const {
        const index samples = least(length, job.samples - time);
        if (samples <= 0 || layout == Layout::scattered || job.rows * job.samples * size < far) return nothing;
        // Every so many rows begin a line; the table then has room for several of its successors.
        const int every = layout == Layout::along_time ? 1 : layout == Layout::pairs ? 2 : int(least(rows, 64 / size));
        const index next = layout == Layout::side_by_side ? step : step < 0 ? -64 : 64;
        for (int r = 0; r < rows; ++r) {
            lines.line[r] = row[r * every % rows] + time * step + r * every / rows * next;
        }
        lines.step = every * next;
        lines.lines = layout == Layout::side_by_side ? rows / every * samples : rows / every * (samples * (step < 0 ? -step : step) / 64);
        lines.at_once = (lines.lines + samples - 1) / samples;
        return lines;
    }

    const Ahead& reads(index time) { return ahead(lines_of_x, x, x_layout, job.x_step, x_size, time); }
    const Ahead& writes(index time) {
        return job.y == nullptr ? nothing : ahead(lines_of_y, y, y_layout, job.y_step, y_size, time);
    }

    // Whether an instant of the rows lies in memory as it does in a tile.
    bool as_in_tile(const char* const* row) const {
        for (int r = 1; r < rows; ++r) {
            if (row[r] - row[r - 1] != in_tile) return false;
        }
        return true;
    }

    void forth(index begin, index end) {
        const Scalar element = narrow || sizeof(C) == 4 ? Scalar::f32 : Scalar::f64;
        const bool from_x = job.x_type == element && !job.affine && as_in_tile(x);
        const bool to_y = job.y != nullptr && job.y_type == element && as_in_tile(y);
        char* const between = reinterpret_cast<char*>(tile);
        const index tile_step = in_tile * rows;
        for (index time = begin; time < end; time += length) {
            const index samples = least(length, end - time);
            if (!from_x && narrow) {
                load_tile<float, float>(x, rows, job.x_step, x_layout, time, samples, reinterpret_cast<float*>(tile));
            } else if (!from_x) {
                load_samples(time, samples, tile);
            }
            run_sections(from_x ? x[0] + time * job.x_step : between, from_x ? job.x_step : tile_step,
                         to_y ? y[0] + time * job.y_step : between, to_y ? job.y_step : tile_step, samples,
                         reads(time + (strip < job.samples ? strip : length)),
                         writes(time + (strip < job.samples ? strip : 0)));
            if (job.y == nullptr || to_y) continue;
            if (narrow) {
                store_tile<float, float>(y, rows, job.y_step, y_layout, time, samples, reinterpret_cast<float*>(tile));
            } else {
                store_samples(time, samples, tile);
            }
        }
    }

    // Forwards over the padded rows into a tile that holds them whole, and backwards in place.
    void forth_and_back() {
        const index pad = job.padlen, samples = job.samples, step = index(sizeof(C)) * rows;
        load_samples(0, pad + 1, edge);
        for (index t = 0; t < pad; ++t) extend(tile + t * rows, edge, edge + (pad - t) * rows);
        settle(pad > 0 ? tile : edge);
        auto filter = [&](index begin, index end, const Ahead& reads) {
            char* const at = reinterpret_cast<char*>(tile + begin * rows);
            run_sections(at, step, at, step, end - begin, reads, nothing);
        };
        // The far end's padding is made of samples that the filter is going to replace.
        load_samples(samples - 1 - pad, pad + 1, edge);
        C* const behind = tile + (pad + samples) * rows;
        for (index t = 0; t < pad; ++t) extend(behind + t * rows, edge + pad * rows, edge + (pad - 1 - t) * rows);
        filter(0, pad, nothing);
        for (index time = 0; time < samples; time += length) {
            const index now = least(length, samples - time);
            load_samples(time, now, tile + (pad + time) * rows);
            filter(pad + time, pad + time + now, reads(time + now));
        }
        filter(pad + samples, samples + 2 * pad, nothing);

        settle(tile + (samples + 2 * pad - 1) * rows);
        auto filter_back = [&](index begin, index end, const Ahead& writes) {
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

    // One instant beyond an end: `inside` is the sample at the same distance before the end.
    void extend(C* beyond, const C* end, const C* inside) {
        for (int r = 0; r < rows; ++r) {
            beyond[r] = job.padding == Padding::odd ? C(2) * end[r] - inside[r]
                        : job.padding == Padding::even ? inside[r]
                                                       : end[r];
        }
    }
};

Outcome run(const Job& job, index first, index last) {
    const FlushSubnormals flush;
    if (job.single_precision) return Worker<float>(job).run(first, last);
    return Worker<double>(job).run(first, last);
}

bool supported() {
#if defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2");
#else
    return true;
#endif
}

}  // namespace

#define BRIDGEFLOW_STRING_(word) #word
#define BRIDGEFLOW_STRING(word) BRIDGEFLOW_STRING_(word)
#define BRIDGEFLOW_JOIN_(a, b) a##b
#define BRIDGEFLOW_JOIN(a, b) BRIDGEFLOW_JOIN_(a, b)

extern const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA);
const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA) = {BRIDGEFLOW_STRING(BRIDGEFLOW_ISA), BRIDGEFLOW_VECTOR_BYTES, supported, run};

}  // namespace bridgeflow
