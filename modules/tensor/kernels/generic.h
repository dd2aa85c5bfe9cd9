// Any processor that the compiler has vectors of 16 bytes for.
#pragma once
#include "body.h"

namespace buffers::detail {
namespace {

struct generic {
  static constexpr std::size_t bytes = 16, lines_ahead = 48;
  using floats = vec<float, bytes>;
  using doubles = vec<double, bytes>;
  // Fused where the processor has it: it is one expression.
  static inline floats fma(floats a, floats b, floats c) { return a * b + c; }
  static inline doubles fma(doubles a, doubles b, doubles c) { return a * b + c; }
  static inline floats scale(floats a, floats n) { return scale_in_two_steps<float, bytes>(a, n); }
  static inline doubles scale(doubles a, doubles n) { return scale_in_two_steps<double, bytes>(a, n); }
  template <class Mask>
  static inline bool any(Mask mask) {
    const auto halves = (vec<std::int64_t, bytes>)mask;
    return (halves[0] | halves[1]) != 0;
  }
  static inline void stream(void* to, const void* line) { __builtin_memcpy(to, line, 64); }
  static inline void stream_end() {}
};

}  // namespace
}  // namespace buffers::detail
