// Headers of NumPy's files.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <stdexcept>

#include "fuzz/target.hpp"
#include "support/require.hpp"
import buffers;

std::size_t play(choices& from) {
  const std::span<const std::byte> all = std::as_bytes(from.rest());
  // The size of the file: as it is, or much more than what is there of it.
  const std::uint64_t sizes[] = {all.size(), all.size() + 1000, UINT64_MAX};
  for (const std::uint64_t file_bytes : sizes) {
    try {
      const buffers::detail::npy_header header = buffers::detail::parse_npy(all, file_bytes, "file");
      require(header.rank <= buffers::detail::npy_dimensions);
      require(header.element_bytes >= 1 && header.element_bytes <= 16);
      std::size_t count = 1;
      bool empty = false;
      for (std::size_t d = 0; d < header.rank; ++d) empty = empty || header.shape[d] == 0;
      for (std::size_t d = 0; d < header.rank && !empty; ++d)
        require(!__builtin_mul_overflow(count, header.shape[d], &count));
      require(header.count == (empty ? 0 : count));
      require(header.begin <= file_bytes);
      require(header.count <= (file_bytes - header.begin) / header.element_bytes);
    } catch (const std::runtime_error&) {
    }
  }
  return std::size(sizes);
}
