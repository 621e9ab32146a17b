// The recursion: sections in direct form II transposed, over vectors of rows or over one or two rows.
#pragma once

#include "tiles.hpp"

namespace bridgeflow {
namespace {

// Cache lines to prefetch: a few with every time step, in turn from all rows. The hardware follows the short stretches
// of many rows badly; where they come from memory or the outer caches, this makes the whole up to twice as fast.
struct Prefetch {
    const char* line[max_rows];  // the first lines; the next are `step` bytes after them
    index step = 0;
    index lines = 0, at_once = 0;

    template <int Rows, bool Write>
    INLINE void fetch(index time) const {
        for (index i = time * at_once; i < smaller(lines, (time + 1) * at_once); ++i) {
            __builtin_prefetch(line[i % Rows] + i / Rows * step, Write, 3);
        }
    }
};

template <class C>
using Cascade = void(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients,
                     C* state, const Prefetch& reads, const Prefetch& writes);

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
             const Prefetch& reads, const Prefetch& writes) {
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

constexpr index max_unrolled = 4;

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
constexpr index max_narrow = 2;

template <class C, Zeros Where>
constexpr Cascade<C>* narrow_cascades[max_narrow][3] = {
    {cascade<C, 1, 1, Where, float>, cascade<C, 1, 2, Where, float>, cascade<C, 1, 4, Where, float>},
    {cascade<C, 2, 1, Where, float>, cascade<C, 2, 2, Where, float>},
};

template <class C>
using Wavefront = void(const char* from, index from_step, char* to, index to_step, index samples, const C* coefficients,
                       C* state, int sections);

// One or two rows would leave most lanes idle. Here the sections are in the lanes, each one time step later than the one before: with
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
            for (int m = 0; m < M; ++m) x[m] = shift_in<C, W>(m == 0 ? arriving : y[g][m - 1], y[g][m]);
            for (int m = 0; m < M; ++m) {
                const V now = k[0][m] * x[m] + z1[g][m];
                const V next1 = k[1][m] * x[m] - k[3][m] * now + z2[g][m];
                const V next2 = k[2][m] * x[m] - k[4][m] * now;
                if (partly) {  // at both ends some lanes have nothing to do yet, or no more
                    const Vec<Lane, W> at = Lane(smaller(time, last)) - lag[m], left = Lane(smaller(samples - 1 - time, 0)) + lag[m];
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

}  // namespace
}  // namespace bridgeflow
