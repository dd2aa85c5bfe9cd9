// Programs on bump_resource.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/mpl/list.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>
#include <ostream>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fuzz/target.hpp"
import buffers;
import buffers.testing;
#include "programs/arena.hpp"

std::size_t play(choices& from) {
  switch (from.up_to(2)) {
    case 0:
      return arena_program<as_itself<bump_over_upstream>>(from).run(SIZE_MAX);
    case 1:
      return arena_program<as_itself<bump_over_storage>>(from).run(SIZE_MAX);
    default:
      return arena_program<as_memory_resource<bump_over_upstream>>(from).run(SIZE_MAX);
  }
}
