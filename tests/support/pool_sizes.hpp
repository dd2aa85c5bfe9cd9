// What the sizes of a pool's blocks ought to be, worked out in another way than the library does.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <vector>

/// The block for a request: multiples of 8 up to 64, then four sizes to each doubling, and above 1 MiB whole pages.
inline std::size_t pool_block(std::size_t bytes, std::size_t alignment = 1) {
  for (std::size_t n = std::max(bytes, alignment);; ++n) {
    const std::size_t step = n <= 64 ? 8 : n <= 1024 * 1024 ? std::bit_ceil(n) / 8 : 4096;
    n = (n + step - 1) / step * step;
    if (n % alignment == 0) return n;
  }
}

/// All sizes of blocks up to `most`, and above 1 MiB powers of two.
inline std::vector<std::size_t> pool_blocks(std::size_t most) {
  std::vector<std::size_t> all;
  for (std::size_t n = 1; (n = pool_block(n)) <= most && n <= 1024 * 1024; ++n) all.push_back(n);
  for (std::size_t n = 2 * 1024 * 1024; n <= most; n *= 2) all.push_back(n);
  return all;
}
