// Every x86-64.
#include <emmintrin.h>

#include "generic.h"

namespace buffers::detail {
namespace {

struct sse2 : generic {
  static inline void stream(void* to, const void* line) {
    for (int i = 0; i < 4; ++i)
      _mm_stream_si128(static_cast<__m128i*>(to) + i, _mm_loadu_si128(static_cast<const __m128i*>(line) + i));
  }
  static inline void stream_end() { _mm_sfence(); }
};

}  // namespace

constinit const kernel_table kernels_baseline = table_of<sse2>("x86-64");

}  // namespace buffers::detail
