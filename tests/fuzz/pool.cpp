// Programs on pool_resource.
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory_resource>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "fuzz/target.hpp"
import buffers;
#include "programs/pool.hpp"

std::size_t play(choices& from) {
  static const mix borders{
      {1, 16, 17, 64, 65, 128, 129, 1000, 4096, 4097, 16 * kib, 16 * kib + 1, 64 * kib, mib + 1}, 300, true};
  const mix* const mixes[] = {&small, &medium, &borders};
  const buffers::pool_options options[] = {{}, {.largest_chunk = 64 * kib}, {.largest_chunk = 256 * kib, .spare = 0}};
  const buffers::pool_options& chosen = options[from.up_to(2)];
  return pool_program<buffers::pool_resource>(chosen, *mixes[from.up_to(2)], from).run(SIZE_MAX);
}
