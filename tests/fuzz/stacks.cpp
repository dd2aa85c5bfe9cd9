// Programs on every resource and stack of adaptors of the contract's table.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/core/demangle.hpp>
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
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "fuzz/target.hpp"
import buffers;
import buffers.testing;
#include "programs/stack.hpp"

std::size_t play(choices& from) {
  static const std::vector<entry> all = table();
  return stack_program(all[from.below(all.size())], from).run(SIZE_MAX);
}
