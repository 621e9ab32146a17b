// Transposition in registers.
//
// A 128-bit lane of a vector holds P consecutive samples of one row; a vector of L lanes those of L rows, P rows
// apart. Transposing inside the lanes, P vectors at a time, turns P samples of N = L * P rows into P vectors of N rows each.
// Only interleavings inside 128-bit lanes are needed, one instruction each on every x86 and on NEON; rows get into their lanes
// on the way from memory and to it.
#pragma once

#include "../native/vectors.hpp"

#include <utility>

namespace bridgeflow {
namespace {

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

// The last element of a, then all but the last of b.
template <class E, int N, int... I>
INLINE Vec<E, N> shift_in(Vec<E, N> a, Vec<E, N> b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (N - 1 + I)...);
}

template <class E, int N>
INLINE Vec<E, N> shift_in(Vec<E, N> a, Vec<E, N> b) {
    return shift_in<E, N>(a, b, std::make_integer_sequence<int, N>());
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

}  // namespace
}  // namespace bridgeflow
