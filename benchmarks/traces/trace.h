// The format of a recorded trace: these records, one after the other.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace trace {

inline constexpr size_t usual_alignment = 16;
inline constexpr uint64_t freed = UINT64_MAX;      // in place of the size
inline constexpr uint64_t moved = UINT64_MAX - 1;  // freed as soon as the next record's block is there

struct record {
  uint64_t block, bytes, alignment;
};

}  // namespace trace
