// Vectors of the kernels, over the vector extensions of GCC and Clang.
//
// CMakeLists.txt compiles each kernel.cpp once per instruction set, with BRIDGEFLOW_ISA naming the variant and
// BRIDGEFLOW_VECTOR_BYTES the width of its vectors. Everything else is the same code, so that a wide variant can be tested
// on a narrow machine.
//
// One definition rule. Objects of several instruction sets are linked together, so a function that two of them instantiate
// would be taken from either. Everything in a kernel is in an unnamed namespace, and of the standard library only types are
// used there, and operator new.
#pragma once

#include "types.hpp"

#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace bridgeflow {
namespace {

template <class T, int N>
using Vec __attribute__((vector_size(N * sizeof(T)))) = T;

// Elements of a whole vector.
template <class T>
constexpr int lanes = BRIDGEFLOW_VECTOR_BYTES / int(sizeof(T));

// Loads and stores of data that need not be aligned, even to their element.
template <class V>
struct Unaligned {
    typedef V type __attribute__((aligned(1), may_alias));
};

template <class V>
INLINE V load(const void* from) {
    return *static_cast<const typename Unaligned<V>::type*>(from);
}

template <class V>
INLINE void store(void* to, const V& value) {
    *static_cast<typename Unaligned<V>::type*>(to) = value;
}

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
    // GCC 12 splits these into halves, which travel through memory or cost two more shuffles.
#if defined(__AVX__)
    if constexpr (sizeof(From) == 16 && sizeof(To) == 32 && std::is_same_v<decltype(value[0] + 0), float>) {
        return reinterpret_cast<To>(_mm256_cvtps_pd(reinterpret_cast<__m128>(value)));
    }
#endif
#if defined(__AVX512F__)
    if constexpr (sizeof(From) == 32 && sizeof(To) == 64 && std::is_same_v<decltype(value[0] + 0), float>) {
        return reinterpret_cast<To>(_mm512_maskz_cvtps_pd(__mmask8(-1), reinterpret_cast<__m256>(value)));
    }
#endif
    return __builtin_convertvector(value, To);
}

INLINE constexpr index smaller(index a, index b) { return a < b ? a : b; }
INLINE constexpr index larger(index a, index b) { return a > b ? a : b; }
INLINE constexpr index rounded_up(index a, index unit) { return (a + unit - 1) / unit * unit; }

// Whether the processor has the instructions that this object was compiled for.
bool supported() {
#if defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

}  // namespace
}  // namespace bridgeflow

#define BRIDGEFLOW_STRING_(word) #word
#define BRIDGEFLOW_STRING(word) BRIDGEFLOW_STRING_(word)
#define BRIDGEFLOW_JOIN_(a, b) a##b
#define BRIDGEFLOW_JOIN(a, b) BRIDGEFLOW_JOIN_(a, b)

// The kernel of this instruction set, for binding.hpp; to be said in the namespace of `Kernel`.
#define BRIDGEFLOW_DEFINE_KERNEL(run)                                \
    extern const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA);    \
    const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA) = {BRIDGEFLOW_STRING(BRIDGEFLOW_ISA), BRIDGEFLOW_VECTOR_BYTES, supported, run}
