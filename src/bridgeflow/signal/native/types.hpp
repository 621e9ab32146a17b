// Types that bindings and kernels share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bridgeflow {

using index = std::ptrdiff_t;  // samples, rows and bytes alike: nothing here is ever counted in 32 bits

enum class Scalar : std::uint8_t { f32, f64, i16, i32, u8, u16 };

}  // namespace bridgeflow
