// Rows along time, one cache line at a time: the next lines are loaded, and the last ones stored, while a cascade runs.
//
// Where vectors are as long as a cache line, the recursion leaves two thirds of the time to loading, transposing and storing,
// so these go on beside it. Memory comes in blocks of one line per row:
//
//     fetch    P rows: P samples inside each 128-bit lane become P rows (transpose.hpp), and the lanes go to `in`, where a
//              time step lies as it does in a tile. Stores of lanes need no shuffle.
//     turn     P time steps of the cascade, from `in` to `out`, as in cascade.hpp
//     put      the opposite of fetch, from `out`
//
// Each turn also fetches a share of the next block and puts a share of the last. A line is read and written at once, so that
// rows a power of two apart do not push out each other's lines half done.
#pragma once

#include "cascade.hpp"

namespace bridgeflow {
namespace {

// What a run over whole blocks needs. Where several filters read a block, their coefficients, states and results follow one
// another.
template <class C>
struct Stretch {
    const char* const* x;
    char* const* y;
    index x_start, y_start;  // bytes from a row to its first block in memory
    index blocks;
    bool backwards;  // time runs backwards through memory
    index ahead;     // blocks to prefetch
    char* buffer;    // of lines_buffer() bytes
    const C* coefficients;
    C* state;
    index sections, filters, y_filter;
};

constexpr index bank_blocks = 8;

// Bytes of the buffer: blocks that are read and that are fetched, and two of results.
constexpr index lines_buffer(bool bank) { return ((bank ? 2 * bank_blocks : 2) + 2) * max_rows * BRIDGEFLOW_VECTOR_BYTES; }

// The lanes of v, `apart` bytes from each other.
template <class E, int N>
INLINE void spread(Vec<E, N> v, char* to, index apart) {
#if defined(__AVX512F__)
    if constexpr (sizeof v == 64) {
        const __m512 w = reinterpret_cast<__m512>(v);
        store(to, _mm512_castps512_ps128(w));
        store(to + apart, _mm512_extractf32x4_ps(w, 1));
        store(to + 2 * apart, _mm512_extractf32x4_ps(w, 2));
        store(to + 3 * apart, _mm512_extractf32x4_ps(w, 3));
        return;
    }
#endif
    for (int l = 0; l < N / per_lane<E>; ++l) {
        __builtin_memcpy(to + l * apart, reinterpret_cast<const char*>(&v) + l * lane_bytes, lane_bytes);
    }
}

// The opposite: lanes from memory.
template <class E, int N>
INLINE Vec<E, N> collect(const char* from, index apart) {
#if defined(__AVX512F__)
    if constexpr (N * sizeof(E) == 64) {
        __m512 v = _mm512_castps128_ps512(load<__m128>(from));
        v = _mm512_insertf32x4(v, load<__m128>(from + apart), 1);
        v = _mm512_insertf32x4(v, load<__m128>(from + 2 * apart), 2);
        return reinterpret_cast<Vec<E, N>>(_mm512_insertf32x4(v, load<__m128>(from + 3 * apart), 3));
    }
#endif
    Vec<E, N> v;
    for (int l = 0; l < N / per_lane<E>; ++l) {
        __builtin_memcpy(reinterpret_cast<char*>(&v) + l * lane_bytes, from + l * apart, lane_bytes);
    }
    return v;
}

// The coefficients of Count sections, which compilers hold in registers.
template <class C, int Count>
struct Sections {
    using V = Vec<C, lanes<C>>;
    V b0[Count], b1[Count], b2[Count], a1[Count], a2[Count];

    explicit INLINE Sections(const V* k) {
#pragma GCC unroll 4
        for (int s = 0; s < Count; ++s, k += 5) b0[s] = k[0], b1[s] = k[1], b2[s] = k[2], a1[s] = k[3], a2[s] = k[4];
    }
};

// One time step.
template <class C, int Count, int G, Zeros Where, class V>
INLINE void step(V& x, const Sections<C, Count>& k, V (&z1)[Count][G], V (&z2)[Count][G], int g) {
#pragma GCC unroll 4
    for (int s = 0; s < Count; ++s) {
        const bool plain = (Where == Zeros::gain_first && s > 0) || (Where == Zeros::gain_last && s < Count - 1);
        const V b0_x = plain ? x : k.b0[s] * x;
        const V y = b0_x + z1[s][g];
        z1[s][g] = k.b1[s] * x - k.a1[s] * y + z2[s][g];
        z2[s][g] = (Where != Zeros::anywhere ? b0_x : k.b2[s] * x) - k.a2[s] * y;
        x = y;
    }
}

// P time steps of Count sections. With few sections the groups of rows take turns, so that their chains overlap; with more,
// there are not registers enough for the states of all.
template <class C, int Count, int G, int P, Zeros Where, class V>
INLINE void steps(V (&x)[P][G], const Sections<C, Count>& k, V (&z1)[Count][G], V (&z2)[Count][G]) {
    if constexpr (Count <= 2) {
#pragma GCC unroll 4
        for (int t = 0; t < P; ++t) {
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) step<C, Count, G, Where>(x[t][g], k, z1, z2, g);
        }
    } else {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
#pragma GCC unroll 4
            for (int t = 0; t < P; ++t) step<C, Count, G, Where>(x[t][g], k, z1, z2, g);
        }
    }
}

template <int Count, int G, class V>
INLINE void load_states(V (&z1)[Count][G], V (&z2)[Count][G], const V* kept) {
#pragma GCC unroll 4
    for (int s = 0; s < Count; ++s) {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) z1[s][g] = kept[2 * s * G + g], z2[s][g] = kept[(2 * s + 1) * G + g];
    }
}

template <int Count, int G, class V>
INLINE void save_states(const V (&z1)[Count][G], const V (&z2)[Count][G], V* kept) {
#pragma GCC unroll 4
    for (int s = 0; s < Count; ++s) {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) kept[2 * s * G + g] = z1[s][g], kept[(2 * s + 1) * G + g] = z2[s][g];
    }
}

// The same with states in memory.
template <class C, int Count, int G, int P, Zeros Where, class V>
INLINE void pass(V (&x)[P][G], const V* k, V* kept) {
    V z1[Count][G], z2[Count][G];
    load_states<Count, G>(z1, z2, kept);
    steps<C, Count, G, P, Where>(x, Sections<C, Count>(k), z1, z2);
    save_states<Count, G>(z1, z2, kept);
}

// S sections, or any number of them where S is 0, over G vectors of rows, which lie in memory as elements of type E.
template <class C, int S, int G, Zeros Where, class E>
void lines(const Stretch<C>& job) {
    constexpr int W = lanes<C>, R = G * W, N = lanes<E> < R ? lanes<E> : R, P = per_lane<E>, L = N / P;
    constexpr index line = N * index(sizeof(E)), time_step = R * index(sizeof(E));
    using V = Vec<C, W>;
    using U = Vec<E, N>;
    constexpr bool fixed = S > 0;
    const index sign = job.backwards ? -1 : 1, ahead = job.ahead * sign * line, blocks = job.blocks, filters = job.filters;
    const char* const* const x = job.x;
    char* const* const y = job.y;
    char* const in = job.buffer;
    const index slots = filters == 1 ? 2 : 2 * bank_blocks;
    char* const out = job.buffer + slots * N * time_step;

    constexpr int pieces = R / P, at_once = pieces / L;
    static_assert(pieces % L == 0 && R % N == 0);
    const auto fetch = [&](index block, int piece) __attribute__((always_inline)) {
        const char* const* const row = x + piece * P;
        const index at = job.x_start + sign * block * line;
        U v[P];
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) v[i] = load<U>(row[i] + at);
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) __builtin_prefetch(row[i] + at + ahead, 0, 3);
        transpose<E, N>(v);
        char* const to = in + block % slots * N * time_step + piece * lane_bytes;
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) spread<E, N>(v[i], to + i * time_step, P * time_step);
    };
    // Results of a run over one block, the last but one of which are overwritten by the next.
    const auto put = [&](index run, index at, int piece) __attribute__((always_inline)) {
        char* const* const row = y + piece * P;
        const char* const from = out + run % 2 * N * time_step + piece * lane_bytes;
        U v[P];
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) v[i] = collect<E, N>(from + i * time_step, P * time_step);
        transpose<E, N>(v);
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) __builtin_prefetch(row[i] + at + ahead, 1, 3);
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) store(row[i] + at, v[i]);
    };

    // A bank takes its turn at a few blocks, which stay in `in` for all filters.
    const index at_a_time = filters == 1 ? blocks : bank_blocks;
    for (index block = 0; block < smaller(at_a_time, filters == 1 ? 1 : blocks); ++block) {
        for (int piece = 0; piece < pieces; ++piece) fetch(block, piece);
    }
    const index further = filters == 1 ? 1 : bank_blocks;  // blocks from that which is filtered to that which is fetched
    const index first_step = job.backwards ? (N - 1) * time_step : 0, next_step = sign * time_step;
    index runs = 0, last_at = 0;
    for (index begin = 0; begin < blocks; begin += at_a_time) {
        const index end = smaller(begin + at_a_time, blocks);
        for (index filter = 0; filter < filters; ++filter) {
            const index sections = fixed ? S : job.sections;
            const V* const coefficients = reinterpret_cast<const V*>(job.coefficients) + filter * sections * 5;
            V* const kept = reinterpret_cast<V*>(job.state) + filter * sections * 2 * G;
            constexpr int count = fixed ? S : 1;
            V z1[count][G], z2[count][G];
            load_states<count, G>(z1, z2, kept);
            const Sections<C, count> k(coefficients);
            for (index block = begin; block < end; ++block, ++runs) {
                const char* from = in + block % slots * N * time_step + first_step;
                char* to = out + runs % 2 * N * time_step + first_step;
                const bool fetches = filter == 0 && block + further < blocks;
                for (int turn = 0; turn < L; ++turn) {
                    if (fetches) {
#pragma GCC unroll 4
                        for (int j = 0; j < at_once; ++j) fetch(block + further, turn * at_once + j);
                    }
                    V v[P][G];
#pragma GCC unroll 4
                    for (int t = 0; t < P; ++t) {
#pragma GCC unroll 4
                        for (int g = 0; g < G; ++g) {
                            v[t][g] = convert<V>(load<Vec<E, W>>(from + t * next_step + g * W * index(sizeof(E))));
                        }
                    }
                    if constexpr (fixed) {
                        steps<C, S, G, P, Where>(v, k, z1, z2);
                    } else {
                        index done = 0;
                        for (index passes = (sections + max_unrolled - 1) / max_unrolled; passes > 0; --passes) {
                            const index now = (sections - done + passes - 1) / passes;
                            const V* const of = coefficients + done * 5;
                            V* const states = kept + done * 2 * G;
                            if (now == 1) pass<C, 1, G, P, Where>(v, of, states);
                            if (now == 2) pass<C, 2, G, P, Where>(v, of, states);
                            if (now == 3) pass<C, 3, G, P, Where>(v, of, states);
                            if (now == 4) pass<C, 4, G, P, Where>(v, of, states);
                            done += now;
                        }
                    }
                    if (runs > 0) {
#pragma GCC unroll 4
                        for (int j = 0; j < at_once; ++j) put(runs - 1, last_at, turn * at_once + j);
                    }
#pragma GCC unroll 4
                    for (int t = 0; t < P; ++t) {
#pragma GCC unroll 4
                        for (int g = 0; g < G; ++g) {
                            store(to + t * next_step + g * W * index(sizeof(E)), convert<Vec<E, W>>(v[t][g]));
                        }
                    }
                    from += P * next_step, to += P * next_step;
                }
                last_at = job.y_start + sign * block * line + filter * job.y_filter;
            }
            if constexpr (fixed) save_states<S, G>(z1, z2, kept);
        }
    }
    for (int piece = 0; piece < pieces; ++piece) put(runs - 1, last_at, piece);
}

template <class C>
using Lines = void(const Stretch<C>&);

// By sections, 0 (any) to 4, and by groups: 1, 2, 4. Code for zeros anywhere serves all filters, at the price of a product;
// the build for tests, which takes long, makes do with it.
#if defined(__AVX512F__)
template <class C, Zeros Where, class E>
constexpr Lines<C>* lines_of[max_unrolled + 1][3] = {
    {lines<C, 0, 1, Zeros::anywhere, E>, lines<C, 0, 2, Where, E>},
    {lines<C, 1, 1, Zeros::anywhere, E>, lines<C, 1, 2, Where, E>, lines<C, 1, 4, Where, E>},
    {lines<C, 2, 1, Zeros::anywhere, E>, lines<C, 2, 2, Where, E>},
    {lines<C, 3, 1, Zeros::anywhere, E>, lines<C, 3, 2, Where, E>},
    {lines<C, 4, 1, Zeros::anywhere, E>, lines<C, 4, 2, Where, E>},
};
#else
template <class C, Zeros Where, class E>
constexpr Lines<C>* lines_of[max_unrolled + 1][3] = {
    {lines<C, 0, 1, Zeros::anywhere, E>, lines<C, 0, 2, Zeros::anywhere, E>},
    {lines<C, 0, 1, Zeros::anywhere, E>, lines<C, 0, 2, Zeros::anywhere, E>, lines<C, 1, 4, Zeros::anywhere, E>},
    {lines<C, 2, 1, Zeros::anywhere, E>, lines<C, 2, 2, Where, E>},
    {lines<C, 0, 1, Zeros::anywhere, E>, lines<C, 0, 2, Zeros::anywhere, E>},
    {lines<C, 0, 1, Zeros::anywhere, E>, lines<C, 0, 2, Zeros::anywhere, E>},
};
#endif

}  // namespace
}  // namespace bridgeflow
